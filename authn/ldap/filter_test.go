package ldap

import (
	"strings"
	"testing"
)

// TestCheckFilter: what is wrong with a filter is said with its column and how to
// write it. // row D10
func TestCheckFilter(t *testing.T) {
	for _, test := range []struct{ filter, want string }{
		{"(uid={login})", ""},
		{"(&(|(uid={login})(mail={login}))(!(a=b))(cn=*)(c=)(d~=x)(e>=1)(f:dn:=x)(:caseExactMatch:=x)(2.5.4.3:1.2.3:=x)(g;lang-de=x))", ""},
		{`(memberOf=CN=Sales\5c, North,DC=x)`, ""},
		{`(memberOf=CN=Sales \28North\29,DC=x)`, ""},
		{`(&(uid={login})(memberOf=CN=Sales\, North,DC=x))`, `column 34: a \ within a value is written \5c (so \, of a DN is \5c,)`},
		{`(memberOf=CN=Sales\)`, `column 19: a \ within a value is written \5c`},
		{`(memberOf=CN=Größe\2,DC=x)`, `column 19: a \ within`},
		{`(memberOf=CN=Sales (North),DC=x)`, `column 20: a ( within a value is written \28`},
		{`(&(uid={login})(memberOf=CN=Sales (North),DC=x))`, `column 35: a ( within a value is written \28`},
		{`(a=b(c)`, `column 5: a ( within a value is written \28`},
		{`(memberOf=CN=Sales North),DC=x)`, `column 25: this ) ends the value or the filter; within a value it is written \29`},
		{`(&(uid={login})(memberOf=CN=Sales North),DC=x))`, `column 40: this ) ends the value`},
		{`(memberOf=CN=Sales \28North),DC=x)`, `column 28: this ) ends the value`},
		{`(uid={login}))`, "column 13: this ) ends the value or the filter"},
		{`(uid={login})(a=b)`, "column 14: a filter has ended here; several are joined by (&...)"},
		{`(&(uid={login})`, "column 1: this ( has no ) that ends it"},
		{`(&(uid={login}`, "column 3: this ( has no ) that ends it"},
		{`uid={login}`, "column 1: a filter begins with ("},
		{`(& (uid={login}))`, "column 3: no blank stands between"},
		{`(uid={login}) `, "column 14: no blank stands between"},
		{`(!uid={login})`, "column 3: a filter begins with ("},
		{`(&(uid={login})(cn={Login}))`, `column 20: {Login} is none of the placeholders {login}; a { that is meant is written \7b`},
		{`(&(uid={login})(cn={USERNAME}))`, `column 20: {USERNAME} is none`},
		{`(&(uid={login})(!(userPassword={CRYPT}!*)))`, ""},
		{`(&(uid={login})(cn={}))`, `column 20: {} is none`},
		{`(&(uid={login})(cn=\7blogin2\7d))`, ""},
		{`({login}=x)`, `column 2: "{login}" is no attribute`},
		{`(uid={login})(`, "column 14: a filter has ended here"},
		{`(uid)`, "column 2: attribute=value is expected"},
		{`(=x)`, `column 2: "" is no attribute`},
		{``, "column 1: a filter begins with ("},
	} {
		err := checkFilter(test.filter, "{login}")
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.filter, err, test.want)
		}
	}
}
