package browse

import "testing"

// TestDenied: a refusal names its rule.
func TestDenied(t *testing.T) {
	for rule, want := range map[string]string{"": "no rule of the policy allows it", "gatehouse.yaml:7": "the policy (gatehouse.yaml:7) denies it"} {
		if got := (&Denied{rule}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
