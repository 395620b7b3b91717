package proxy

import "context"

// localHolds are those of one process.
type localHolds struct{ queues[heldTag] }

type heldTag struct{ repository, tag string }

func (l *localHolds) hold(ctx context.Context, repository string, tags []string) (release func(), err error) {
	var held []func()
	release = func() {
		for _, leave := range held {
			leave()
		}
	}
	for _, tag := range tags {
		leave, ok := l.acquire(ctx, heldTag{repository, tag})
		if !ok {
			release()
			return nil, ctx.Err()
		}
		held = append(held, leave)
	}
	return release, nil
}
