package duolinkotel

import (
	"context"
	"net/http"

	"github.com/duolink/duolink"
)

// Join makes one set of hooks of several, so that hooks of your own can stay:
//
//	duolink.WithHooks(duolinkotel.Join(hooks, mine))
//
// The hooks of an event are called in order. CallStart of each gets the context that the one before
// has returned, and all hooks of the call get the last one. CallEnd and AttemptEnd are called in
// reverse order, and all of them, even if one panics. A hook that nobody has set stays nil, because
// the client does more if it is set.
func Join(all ...duolink.Hooks) duolink.Hooks {
	return duolink.Hooks{
		CallStart: chained(all),
		CallEnd: backwards(all, func(h duolink.Hooks) func(context.Context, duolink.Call) {
			return h.CallEnd
		}),
		AttemptStart: forwards(all, func(h duolink.Hooks) func(context.Context, duolink.Attempt) {
			return h.AttemptStart
		}),
		AttemptEnd: backwards(all, func(h duolink.Hooks) func(context.Context, duolink.Attempt) {
			return h.AttemptEnd
		}),
		AttemptHeader: forwards(all, func(h duolink.Hooks) func(context.Context, http.Header) {
			return h.AttemptHeader
		}),
		Wait:     forwards(all, func(h duolink.Hooks) func(context.Context, duolink.Wait) { return h.Wait }),
		Cooldown: forwards(all, func(h duolink.Hooks) func(context.Context, duolink.Cooldown) { return h.Cooldown }),
		TokenRenewal: forwards(all, func(h duolink.Hooks) func(context.Context, duolink.TokenRenewal) {
			return h.TokenRenewal
		}),
		Abandoned: forwards(all, func(h duolink.Hooks) func(context.Context, duolink.Abandoned) {
			return h.Abandoned
		}),
		Drift: forwards(all, func(h duolink.Hooks) func(context.Context, duolink.Drift) { return h.Drift }),
	}
}

// chained calls each CallStart with the context of the one before. One that returns nil has nothing
// to add.
func chained(all []duolink.Hooks) func(context.Context, duolink.Call) context.Context {
	var starts []func(context.Context, duolink.Call) context.Context
	for _, h := range all {
		if h.CallStart != nil {
			starts = append(starts, h.CallStart)
		}
	}
	if len(starts) == 0 {
		return nil
	}
	return func(ctx context.Context, c duolink.Call) context.Context {
		for _, start := range starts {
			if own := start(ctx, c); own != nil {
				ctx = own
			}
		}
		return ctx
	}
}

// forwards calls the hooks that are set in order.
func forwards[T any](
	all []duolink.Hooks, of func(duolink.Hooks) func(context.Context, T),
) func(context.Context, T) {
	hooks := set(all, of)
	if len(hooks) == 0 {
		return nil
	}
	return func(ctx context.Context, what T) {
		for _, hook := range hooks {
			hook(ctx, what)
		}
	}
}

// backwards calls the hooks that are set in reverse order, also after a panic of one.
func backwards[T any](
	all []duolink.Hooks, of func(duolink.Hooks) func(context.Context, T),
) func(context.Context, T) {
	hooks := set(all, of)
	if len(hooks) == 0 {
		return nil
	}
	return func(ctx context.Context, what T) {
		for _, hook := range hooks {
			defer hook(ctx, what)
		}
	}
}

func set[T any](all []duolink.Hooks, of func(duolink.Hooks) func(context.Context, T)) []func(context.Context, T) {
	var hooks []func(context.Context, T)
	for _, h := range all {
		if hook := of(h); hook != nil {
			hooks = append(hooks, hook)
		}
	}
	return hooks
}
