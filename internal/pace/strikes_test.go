package pace

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a strike is: five different links, within ten seconds, and nothing accepted that was sent
// since the first.
func TestStrikes(t *testing.T) {
	const app = "identity.get/all"
	type step struct {
		after    time.Duration // since the one before
		link     string
		accepted time.Duration // if no link is refused: a request is accepted that was sent so long ago
		other    bool          // by another application
		whole    bool
	}
	strikes := func(links ...string) (steps []step) {
		for _, l := range links {
			steps = append(steps, step{link: l})
		}
		return steps
	}
	steps := func(parts ...[]step) []step { return slices.Concat(parts...) }
	refused, four := func(s step) []step { return []step{s} }, strikes("a", "b", "c", "d")
	fifth, late := refused(step{link: "e", whole: true}), refused(step{after: strikesFor + 1, link: "f"})
	for name, steps := range map[string][]step{
		"four links":                     four,
		"five links":                     steps(four, fifth),
		"and then they are counted anew": steps(four, fifth, four, fifth),
		"one of them twice":              steps(four, strikes("b"), fifth),
		"one link alone":                 strikes("a", "a", "a", "a", "a", "a", "a"),
		"the fifth after ten seconds":    steps(four, refused(step{after: strikesFor, link: "e", whole: true})),
		"the fifth after more than that": steps(four, late),
		"which is the first of the next": steps(four, late, four[:3], fifth),
		"one that was sent later":        steps(four[:1], refused(step{after: 1}), four[1:], strikes("e")),
		"one that was sent at that time": steps(four, refused(step{accepted: 0}), fifth),
		"one that was sent before":       steps(four, refused(step{accepted: 1}), fifth),
		"one that was sent just after":   steps(four[:1], refused(step{after: 2, accepted: 1}), four[1:], strikes("e")),
		"five within ten seconds, not the first": steps(
			four[:1], refused(step{after: 6 * time.Second, link: "b"}), four[2:],
			refused(step{after: 5 * time.Second, link: "f"}), fifth),
		"one that was sent after the first alone": steps(
			four[:1], refused(step{after: 2, link: "b"}), refused(step{after: 2, accepted: 3}),
			four[2:], strikes("f"), fifth),
		"one of another application": steps(four[:1], refused(step{after: 1, other: true}), four[1:], fifth),
	} {
		t.Run(name, func(t *testing.T) {
			gs, now := NewGroups(), time.Now()
			for i, s := range steps {
				now = now.Add(s.after)
				switch {
				case s.link != "":
					require.Equal(t, s.whole, gs.RefusesWhole(app, s.link, Permit{}, now), "step %d", i)
				case s.other:
					gs.Accept("another", Permit{at: now}, now)
				default:
					gs.Accept(app, Permit{at: now.Add(-s.accepted)}, now)
				}
			}
		})
	}
}

// The refusal of an application's probe is the application's, whichever link it was for; not so one
// of a request from before, and not one after the application was accepted again.
func TestStrikeOfTheProbe(t *testing.T) {
	gs, now := NewGroups(), time.Now()
	gs.Refuse("all", Permit{}, now, time.Second)
	g := gs.groups["all"]
	require.False(t, gs.RefusesWhole("all", "a", Permit{}, now))
	require.True(t, gs.RefusesWhole("all", "a", permitOf(g), now))
	gs.Accept("all", permitOf(g), now)
	require.False(t, gs.RefusesWhole("all", "a", permitOf(g), now))
	require.False(t, gs.RefusesWhole("another", "a", permitOf(g), now))
}

// Of too many applications, all are counted anew.
func TestStrikesAreBounded(t *testing.T) {
	gs, now := NewGroups(), time.Now()
	for i := range mostStrikes {
		require.False(t, gs.RefusesWhole(strconv.Itoa(i), "a", Permit{}, now))
	}
	require.Equal(t, mostStrikes, len(gs.strikes))
	for _, link := range []string{"b", "c", "d"} {
		require.False(t, gs.RefusesWhole("0", link, Permit{}, now))
	}
	require.Equal(t, mostStrikes, len(gs.strikes))
	require.False(t, gs.RefusesWhole("one more", "a", Permit{}, now))
	require.Equal(t, 1, len(gs.strikes))
	require.False(t, gs.RefusesWhole("0", "e", Permit{}, now))
}
