package authn

import (
	"cmp"
	"context"
	"errors"
	"slices"
)

// Named is somebody, or a group, as rules call them.
type Named struct {
	// Kind is whose name it is.
	Kind NamedKind
	// Name is the name as an Identity or a Group has it, of GroupDN the group's DN.
	Name string
}

// NamedKind is what a Named is the name of.
type NamedKind uint8

// The kinds.
const (
	Person NamedKind = iota
	GroupName
	GroupDN
	MachineName
)

// Roll is a Directory that can be asked whether it has somebody at all, for those who
// look after a policy. No login and no request asks that.
type Roll interface {
	// Lacks are those of the names that are surely nobody's there. The error, which may
	// stand beside them, says why it is not known of some of the others; it wraps
	// ErrPartial where the directory answers and does not show enough.
	Lacks(ctx context.Context, names []Named) (lacking []Named, err error)
}

// ErrPartial: a directory shows a part of what it has, so what is not in that part may be
// there all the same.
var ErrPartial = errors.New("the directory shows only a part of what it has")

// Lacks is of Roll.
func (s *Static) Lacks(_ context.Context, names []Named) ([]Named, error) {
	has := map[Named]bool{}
	for name, u := range s.users {
		has[Named{Person, name}] = true
		for _, g := range u.id.Groups {
			has[Named{GroupName, g.Name}] = true
		}
	}
	return Missing(names, has), nil
}

// Missing are the names that has lacks, each once.
func Missing(names []Named, has map[Named]bool) []Named {
	rest := slices.DeleteFunc(slices.Clone(names), func(n Named) bool { return has[n] })
	slices.SortFunc(rest, func(a, b Named) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return slices.Compact(rest)
}
