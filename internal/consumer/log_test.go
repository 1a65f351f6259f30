package consumer

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/duolink/duolink"
	"github.com/rs/zerolog"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logger writes one line about a value.
type logger func(line *bytes.Buffer, v any)

// loggers are those of others, and slog's own. takes is what each of them gets.
var loggers = map[string]struct {
	log   logger
	takes func(any) any
	json  bool
}{
	"slog JSON":    {slogged(func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) }), itself, true},
	"slog text":    {slogged(func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) }), itself, false},
	"zap":          {zapped(func(v any) zap.Field { return zap.Any("v", v) }), masked, true},
	"zap, Reflect": {zapped(func(v any) zap.Field { return zap.Reflect("v", v) }), masked, true},
	"zerolog": {func(line *bytes.Buffer, v any) {
		l := zerolog.New(line)
		l.Info().Any("v", v).Msg("m")
	}, masked, true},
	"logrus JSON": {logrused(&logrus.JSONFormatter{}), masked, true},
	"logrus text": {logrused(&logrus.TextFormatter{}), masked, false},
}

func itself(v any) any { return v }
func masked(v any) any { return duolink.Masked(v) }

func slogged(handler func(io.Writer) slog.Handler) logger {
	return func(line *bytes.Buffer, v any) { slog.New(handler(line)).Info("m", "v", v) }
}

func zapped(field func(any) zap.Field) logger {
	return func(line *bytes.Buffer, v any) {
		encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
		zap.New(zapcore.NewCore(encoder, zapcore.AddSync(line), zap.InfoLevel)).Info("m", field(v))
	}
}

func logrused(format logrus.Formatter) logger {
	return func(line *bytes.Buffer, v any) {
		l := logrus.New()
		l.Out, l.Formatter = line, format
		l.WithField("v", v).Info("m")
	}
}

// Every logger writes every answer, with masks, and loses no line.
func TestLogged(t *testing.T) {
	for answer, v := range answers(t) {
		for name, l := range loggers {
			t.Run(name+"/"+answer, func(t *testing.T) {
				var line bytes.Buffer
				l.log(&line, l.takes(v))
				require.Equal(t, 1, strings.Count(line.String(), "\n"), line.String())
				silent(t, name, line.String())
				require.NotContains(t, line.String(), "ERROR")
				require.NotContains(t, line.String(), "vError")
				if answer == "identity" {
					require.Contains(t, line.String(), "****")
				}
				if l.json {
					var record struct{ V json.RawMessage }
					require.NoError(t, json.Unmarshal(line.Bytes(), &record))
					require.NotEmpty(t, record.V)
					if answer == "identity" {
						require.Equal(t, byte('{'), record.V[0], "an object, not a text")
					}
				}
			})
		}
	}
}

// A logger that gets the answer itself shows nothing either.
func TestLoggedAsItIs(t *testing.T) {
	for answer, v := range answers(t) {
		for name, l := range loggers {
			var line bytes.Buffer
			l.log(&line, v)
			silent(t, name+" of "+answer, line.String())
		}
	}
}
