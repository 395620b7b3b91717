{{- define "gatehouse.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "gatehouse.fullname" -}}
{{- $name := include "gatehouse.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: {{ include "gatehouse.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gatehouse.labels" -}}
{{ include "gatehouse.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The config as text. */ -}}
{{- define "gatehouse.config" -}}
{{- if kindIs "string" .Values.config }}{{ .Values.config }}{{ else }}{{ toYaml .Values.config }}{{ end -}}
{{- end }}

{{- /* Section listen or admin of the config: (list . "admin"). */ -}}
{{- define "gatehouse.section" -}}
{{- $config := include "gatehouse.config" (index . 0) | fromYaml -}}
{{- if hasKey $config "Error" }}{{ fail (printf "config: %s" $config.Error) }}{{ end -}}
{{- get $config (index . 1) | default dict | toYaml -}}
{{- end }}

{{- define "gatehouse.port" -}}
{{- $listen := include "gatehouse.section" (list . "listen") | fromYaml -}}
{{- regexFind "[0-9]+$" (get $listen "address" | default ":5000") | default "5000" -}}
{{- end }}

{{- define "gatehouse.scheme" -}}
{{- $listen := include "gatehouse.section" (list . "listen") | fromYaml -}}
{{- if get $listen "tls" }}https{{ else }}http{{ end -}}
{{- end }}

{{- /* The admin listener's port, empty where it cannot be reached from outside of the pod. */ -}}
{{- define "gatehouse.adminPort" -}}
{{- $admin := include "gatehouse.section" (list . "admin") | fromYaml -}}
{{- $address := get $admin "address" | default "127.0.0.1:9180" -}}
{{- if not (regexMatch "^(127\\.|localhost:|\\[::1\\])" $address) }}{{ regexFind "[0-9]+$" $address }}{{ end -}}
{{- end }}
