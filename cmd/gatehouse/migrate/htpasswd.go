package migrate

import "strings"

const htpasswdHead = `# Written by gatehouse migrate htpasswd. Look at the lines marked FILL IN, then:
#   gatehouse check -c gatehouse.yaml --online
upstream:
  url: "http://127.0.0.1:5001" ` + FillIn + `where the registry itself answers

`

const htpasswdPolicy = `
policy:
  # As a registry with an htpasswd file has it: whoever has a password may do everything.
  - allow: ["*"]
    repositories: ["**"]
    to: [authenticated]
`

// htpasswd reads lines of NAME:HASH. A registry takes bcrypt alone, and so do we.
func htpasswd(file string, text []byte) (*result, error) {
	r := &result{file: file}
	var people []person
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		name, hash, ok := strings.Cut(line, ":")
		switch {
		case line == "" || line[0] == '#':
		case !ok:
			r.lost(i+1, "this is no NAME:HASH")
		case !strings.HasPrefix(hash, "$2"):
			r.lost(i+1, "user %q is not written: the password is no bcrypt hash; make one with: gatehouse hash-password", name)
		default:
			people = append(people, person{line: i + 1, name: name, password: hash})
		}
	}
	people = r.sound(people)
	r.weak(people)
	config := htpasswdHead
	if len(people) > 0 {
		config += "directories:\n" + staticYAML(people) + htpasswdPolicy
	} else {
		r.lost(1, "there is nobody in it who could log in, so no directory and no policy is written")
	}
	r.texts = map[string]string{ConfigName: config}
	return r, nil
}
