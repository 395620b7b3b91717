package store

import "context"

// messages is the channel of what gateways tell each other.
const messages = "messages"

// Tell tells all gateways that hear, this one too. A message is heard once or never.
func (s *Store) Tell(ctx context.Context, message string) error {
	shared, ok := s.Backend.(*Shared)
	if !ok {
		return nil
	}
	if !s.Up() {
		return errDown
	}
	return s.told("tell", unavailable(shared.client.Publish(ctx, shared.prefix+messages, message).Err()))
}

// Hear calls heard with each message until ctx ends, one after the other. While Redis is
// away nothing is heard, and nobody tells what was missed.
func (s *Store) Hear(ctx context.Context, heard func(message string)) {
	shared, ok := s.Backend.(*Shared)
	if !ok {
		return
	}
	sub := shared.client.Subscribe(ctx, shared.prefix+messages)
	defer func() { _ = sub.Close() }() // nothing of it is left in any case
	list := sub.Channel()
	for {
		select {
		case <-ctx.Done():
			return
		case m, open := <-list:
			if !open {
				return
			}
			heard(m.Payload)
		}
	}
}
