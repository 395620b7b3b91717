package authn

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ParseSpan reads a length of time as people give it to commands and forms: whole days
// (90d), or a Go duration (12h). None is below 0.
func ParseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return d, nil
	}
	return 0, fmt.Errorf("%.100q is neither days, such as 90d, nor a time, such as 12h", text)
}
