package browse

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"gatehouse/authz"
	"gatehouse/proxy/route"
)

// Purpose is what a referrer is for.
type Purpose string

// The purposes.
const (
	Signature   Purpose = "signature"
	SBOM        Purpose = "SBOM"
	Attestation Purpose = "attestation"
	Other       Purpose = "other"
)

// Referrer is something attached to an image.
type Referrer struct {
	// Digest is its manifest's.
	Digest string
	// ArtifactType is its type.
	ArtifactType string
	// Purpose is what it is for, by its type.
	Purpose Purpose
	// Size is its manifest's in bytes; -1: unknown.
	Size int64
	// Tag is the tag under which it was found; empty: the registry lists it by itself.
	Tag string
}

// Referrers is what is attached to an image.
type Referrers struct {
	// List are signatures first, then SBOMs, attestations and others; 200 at most.
	List []Referrer
	// Cut says that there are more.
	Cut bool
	// Signed says that a signature is attached. Whether it is a good one is not known.
	Signed bool
	// State is Ready, or Loading or Failed where not all of them were found out.
	State State
}

// Referrers finds what is attached to a manifest of the repository: what the registry lists,
// what stands under the tag of the distribution specification's "Referrers Tag Schema", and
// under those of cosign before version 3. Digests are that of the reference and that of the
// image shown.
func (v *Visit) Referrers(ctx context.Context, name string, digests ...string) (*Referrers, error) {
	if err := v.may(authz.Pull, name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found := &Referrers{State: Ready}
	for _, digest := range slices.Compact(digests) {
		if route.ValidDigest(digest) {
			found.take(v.referrersOf(ctx, name, digest))
		}
	}
	found.settle()
	return found, nil
}

// take adds what was found in one way.
func (r *Referrers) take(list []Referrer, err error) {
	r.List = append(r.List, list...)
	if state := unread("", err).State; err != nil && state != Absent && r.State == Ready {
		r.State = state
	}
}

// settle sorts and bounds the list, each digest once.
func (r *Referrers) settle() {
	order := map[Purpose]int{Signature: 0, SBOM: 1, Attestation: 2, Other: 3}
	seen := map[string]bool{}
	r.List = slices.DeleteFunc(r.List, func(one Referrer) bool {
		again := seen[one.Digest]
		seen[one.Digest] = true
		return again
	})
	slices.SortStableFunc(r.List, func(a, b Referrer) int { return order[a.Purpose] - order[b.Purpose] })
	r.Signed = len(r.List) > 0 && r.List[0].Purpose == Signature
	if len(r.List) > mostReferrers {
		r.List, r.Cut = r.List[:mostReferrers], true
	}
}

// referrersOf finds those of one digest, once for all who look.
func (v *Visit) referrersOf(ctx context.Context, name, digest string) ([]Referrer, error) {
	l, key := v.library, tagsKey{v.caller.Place, name}
	l.mu.Lock()
	r := l.repositoryLocked(key)
	l.mu.Unlock()
	return flight(ctx, l, "referrers\x00"+r.serial+"\x00"+digest, readLimit, func(ctx context.Context) ([]Referrer, error) {
		all := &Referrers{State: Ready}
		first, err := v.listed(ctx, name, digest)
		for _, tag := range v.referrerTags(ctx, name, digest) {
			list, tagErr := v.under(ctx, name, tag)
			all.take(list, nil)
			if ignored(tagErr) != nil && err == nil {
				err = tagErr
			}
		}
		return append(first, all.List...), err
	})
}

// listed are those that the registry lists itself.
func (v *Visit) listed(ctx context.Context, name, digest string) (found []Referrer, err error) {
	rt, err := target(http.MethodGet, name, "referrers/", digest)
	for n := 0; err == nil && n < mostPages && len(found) <= mostReferrers; n++ {
		reply, err := v.read(ctx, "referrers", rt, http.Header{"Accept": {typeIndex}}, mostBody)
		switch {
		case err != nil:
			return found, err
		case reply.status == http.StatusNotFound || reply.status == http.StatusBadRequest || reply.status == http.StatusMethodNotAllowed:
			return found, nil // it has no such list
		case reply.status != http.StatusOK || reply.large:
			return found, reply.unexpected()
		}
		index := parseManifest(reply.body)
		if index == nil {
			return found, ErrAnswer
		}
		found = append(found, referrersIn(index, "")...)
		next := nextPage(reply.header)
		if next == "" {
			break
		}
		if rt, err = route.Parse(http.MethodGet, next); err != nil {
			return found, err
		}
	}
	return found, err
}

// referrersIn are those of an index.
func referrersIn(index *manifest, tag string) (found []Referrer) {
	for _, m := range index.Manifests.list {
		if !route.ValidDigest(m.Digest) {
			continue
		}
		one := Referrer{Digest: m.Digest, ArtifactType: short(m.ArtifactType), Size: int64(m.Size), Tag: tag}
		if one.ArtifactType == "" {
			one.ArtifactType = short(m.MediaType)
		}
		one.Purpose = purposeOf(one.ArtifactType, m.Annotations)
		found = append(found, one)
	}
	return found
}

// referrerTags are the tags under which tools keep what refers to a digest, of those that
// the repository has.
func (v *Visit) referrerTags(ctx context.Context, name, digest string) []string {
	algorithm, encoded, _ := strings.Cut(digest, ":")
	base := algorithm[:min(len(algorithm), 32)] + "-" + encoded[:min(len(encoded), 64)]
	tags := []string{base, base + ".sig", base + ".att", base + ".sbom"}
	known, err := v.tags(ctx, name)
	if err != nil {
		return tags
	}
	return slices.DeleteFunc(tags, func(tag string) bool { return !slices.Contains(known, tag) })
}

// under are the referrers that a tag stands for: those of an index, or the manifest itself.
func (v *Visit) under(ctx context.Context, name, tag string) ([]Referrer, error) {
	n, err := v.named(ctx, name, tag)
	if err != nil {
		return nil, err
	}
	d, err := v.manifestOf(ctx, name, n.digest)
	if err != nil || d.manifest == nil {
		return nil, err
	}
	suffix := tag[strings.LastIndexByte(tag, '-')+1:]
	_, suffix, old := strings.Cut(suffix, ".")
	if !old {
		return referrersIn(d.manifest, tag), nil
	}
	one := Referrer{Digest: n.digest, Tag: tag, Size: int64(len(d.body)), ArtifactType: d.artifactType(),
		Purpose: map[string]Purpose{"sig": Signature, "att": Attestation, "sbom": SBOM}[suffix]}
	if layers := d.manifest.Layers.list; one.ArtifactType == "" && len(layers) > 0 {
		one.ArtifactType = short(layers[0].MediaType)
	}
	return []Referrer{one}, nil
}

// purposeOf is what a type is for.
func purposeOf(artifactType string, annotations marks) Purpose {
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(artifactType, word) })
	}
	predicate := annotations[markPredicate]
	switch {
	case has("sigstore.bundle") && predicate != "" && predicate != "https://sigstore.dev/cosign/sign/v1":
		return Attestation
	case has("sigstore.bundle", "cosign.artifact.sig", "cosign.simplesigning", "notary.signature"):
		return Signature
	case has("spdx", "cyclonedx", "syft", "sbom"):
		return SBOM
	case has("in-toto", "dsse"):
		return Attestation
	}
	return Other
}
