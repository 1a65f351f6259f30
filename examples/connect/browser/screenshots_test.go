package browser

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestScreenshots makes the two pictures of the README. They are written where UPDATE_SCREENSHOTS=1
// asks for it; otherwise those that are there are looked at.
func TestScreenshots(t *testing.T) {
	for name, tc := range map[string]struct {
		width, height int64
		visit         func(*browser)
	}{
		"connect-desktop.png": {960, 760, func(b *browser) { b.begin("Google Ads", ""); b.signIn("Google Ads") }},
		"connect-phone.png":   {390, 760, func(b *browser) { b.begin("Google Ads", "jordan@example.com") }},
	} {
		t.Run(name, func(t *testing.T) {
			const scale = 2
			b := open(t, service(t), tc.width)
			b.still()
			b.do(chromedp.EmulateViewport(tc.width, tc.height, chromedp.EmulateScale(scale)))
			tc.visit(b)
			shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
			require.NoError(t, err)
			size := image.Pt(int(tc.width*scale), int(tc.height*scale))
			picture(t, shot, size)

			file := filepath.Join("..", "..", "..", "docs", name)
			if os.Getenv("UPDATE_SCREENSHOTS") == "1" {
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, shot, 0o644))
			}
			kept, err := os.ReadFile(file)
			require.NoError(t, err, "UPDATE_SCREENSHOTS=1 makes it")
			picture(t, kept, size)
			require.Less(t, len(kept), 200<<10, "too large for a README")
		})
	}
}

// picture expects a PNG of this size that shows more than an empty page.
func picture(t *testing.T, b []byte, size image.Point) {
	t.Helper()
	shown, err := png.Decode(bytes.NewReader(b))
	require.NoError(t, err)
	require.Equal(t, size, shown.Bounds().Size())
	colours := map[any]bool{}
	for y := 0; y < size.Y; y += 7 {
		for x := 0; x < size.X; x += 7 {
			colours[shown.At(x, y)] = true
		}
	}
	require.Greater(t, len(colours), 20, "there is hardly anything on it")
}

// still stops what moves, so that two pictures of a page are alike.
func (b *browser) still() {
	b.media(&emulation.MediaFeature{Name: "prefers-reduced-motion", Value: "reduce"})
}
