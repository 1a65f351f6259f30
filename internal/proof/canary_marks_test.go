package proof

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duolink/duolink"
	"github.com/duolink/duolink/internal/proof/operations"
	"github.com/stretchr/testify/require"
)

// secretAt is a text for one place that nobody may see. Its characters are those that an id has.
func secretAt(place string) string {
	return hiddenMark + "_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_", " ", "_").Replace(place))
}

// Tails put into a text what JSON, URLs and HTML write in ways of their own.
const (
	awkwardTail    = ` &"ö/`
	credentialTail = `+="<`
)

func (w *canaryWorld) secretAt(place, tail string) string {
	w.mark(place)
	return secretAt(place) + tail
}

func (w *canaryWorld) mark(place string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.marks[place] = true
}

// canaryIDs are the text fields of arguments that take the characters of an id and no others.
var canaryIDs = []string{
	"LoginLinkCreate.DataSourceID", "AccountsQuery.DataSourceID", "LoginLink.ID", "LoginLinkUpdate.Marker",
}

// canaryRef is the marker of a CreateOnce, and the id of a Close, that end well. The answer shows it
// in the description or as the ID, which are printed.
const canaryRef = plainMark + "_ref"

// isCanaryID reports whether a text at a place is an id: a parameter of its own, or such a field.
func isCanaryID(place string) bool {
	return !strings.Contains(place, "Field.") ||
		slices.ContainsFunc(canaryIDs, func(id string) bool { return strings.HasSuffix(place, id) })
}

// argument is a value of a parameter's type with a mark in every text. A type of which it knows
// nothing fails the test.
func (w *canaryWorld) argument(t *testing.T, typ reflect.Type, place, spoil string) reflect.Value {
	v := reflect.New(typ).Elem()
	switch {
	case typ == reflect.TypeFor[duolink.Secret]():
		v.Set(reflect.ValueOf(duolink.NewSecret(w.secretAt(place, credentialTail+spoil))))
	case w.good && (place == "LinksService.CreateOnce 2" || place == "LinksService.Close 1"):
		v.SetString(canaryRef)
	case strings.HasSuffix(place, "LoginLinkCreate.RedirectURL"):
		v.SetString("https://app.test/" + w.secretAt(strings.TrimPrefix(place, "Field."), awkwardTail+spoil))
	case typ == reflect.TypeFor[string]() && isCanaryID(place):
		v.SetString(w.secretAt(strings.TrimPrefix(place, "Field."), spoil))
	case typ.Kind() == reflect.String:
		v.SetString(w.secretAt(strings.TrimPrefix(place, "Field."), awkwardTail+spoil))
	case typ == reflect.TypeFor[duolink.Sensitive]():
		v.Set(reflect.ValueOf(duolink.NewSensitive(w.secretAt(strings.TrimPrefix(place, "Field."), awkwardTail+spoil))))
	case typ == reflect.TypeFor[*http.Request](): // a browser's, back from a login
		query := url.Values{
			"redirect_verifier": {w.secretAt("LoginLink.RedirectVerifier", awkwardTail+spoil)},
			"state":             {w.secretAt("browser", "")},
		}
		v.Set(reflect.ValueOf(httptest.NewRequest(http.MethodGet, "/?"+query.Encode(), nil)))
	case typ.Kind() == reflect.Func: // that of a wait's progress, which has an answer in it and an error
		v.Set(reflect.MakeFunc(typ, func(in []reflect.Value) []reflect.Value {
			if !w.echoes {
				w.value("answer", in[0].Interface())
			}
			if err, ok := in[0].FieldByName("Err").Interface().(error); ok {
				w.value("error", err)
			}
			return nil
		}))
	case typ == reflect.TypeFor[time.Time](), typ == reflect.TypeFor[duolink.Timestamp](),
		typ.Kind() == reflect.Int, typ.Kind() == reflect.Int64: // no texts
	case typ.Kind() == reflect.Slice:
		v.Set(reflect.Append(v, w.argument(t, typ.Elem(), "Field."+strings.TrimPrefix(place, "Field."), spoil)))
	case typ.Kind() == reflect.Struct:
		for f := range typ.Fields() {
			v.FieldByIndex(f.Index).Set(w.argument(t, f.Type, "Field."+typ.Name()+"."+f.Name, spoil))
		}
	default:
		require.Failf(t, "no mark", "%s: of a %s the canary knows nothing", place, typ)
	}
	return v
}

// answerTo is the good answer, in either spelling of its members.
func (w *canaryWorld) answerTo(a asked, aliased bool) string {
	_, p, _ := strings.Cut(strings.TrimPrefix(a.URL.Path, "/"), "/")
	p = "/" + p
	op, ok := operations.Asked(a.Method, p)
	switch {
	case !ok:
		panic("nothing is known of " + a.Method + " " + p)
	case op.Name == operations.Exchange:
		token := w.secretAt("exchanged token", credentialTail)
		return mustJSON(map[string]any{"access_token": token, "expires_in": 3600})
	case op.Data == nil:
		return op.Least
	}
	return w.answerOf(op, aliased, a.parts())
}

// mostParts is how many parts of a request an answer has as names.
const mostParts = 10

func (w *canaryWorld) answerOf(op operations.Operation, aliased bool, parts []string) string {
	typ := reflect.TypeOf(op.Data)
	data := w.sample(typ, typ.Name(), aliased)
	if products, ok := member(data, "products"); ok { // a refresh is done as soon as somebody looks
		fresh := map[string]any{"refreshed_at": time.Now().UTC().Format(time.RFC3339Nano)}
		products[string(duolink.ProductIdentity)] = fresh
		products[string(duolink.ProductAccountNumbers)] = fresh
	}
	if op.Repeat == operations.OnlyRefused && op.API == duolink.Supermetrics { // of the data source that was asked for
		delete(data.(map[string]any), "ds_id")
		data.(map[string]any)["description"] = "[ref:" + canaryRef + "]"
	}
	if strings.Contains(op.Route, "{loginLinkID}") { // of the link that was asked for, whose id nothing may print
		delete(data.(map[string]any), "link_id")
		data.(map[string]any)["result"] = true
	}
	for i, part := range parts { // a new member whose name the caller has sent
		if object, ok := data.(map[string]any); ok && i < mostParts {
			object[part] = 1
		}
	}
	if op.API != duolink.Supermetrics {
		return mustJSON(data)
	}
	return mustJSON(map[string]any{
		"meta": map[string]any{"query": map[string]any{"cache_minutes": 60}, "paginate": map[string]any{"total": 1}},
		"data": data,
	})
}

// member is an object in another.
func member(object any, name string) (map[string]any, bool) {
	outer, _ := object.(map[string]any)
	inner, ok := outer[name].(map[string]any)
	return inner, ok
}

// canaryAccountID is one for all, so that numbers are those of an account.
const canaryAccountID = plainMark + "_account_id"

// sample is JSON with a mark in every text of a type: the hidden one where it is Sensitive, the
// plain one elsewhere, and the hidden one in a member that the type has not.
func (w *canaryWorld) sample(typ reflect.Type, place string, aliased bool) any {
	text := plainMark + "_" + place
	switch {
	case typ == reflect.TypeFor[duolink.Sensitive]():
		return w.secretAt(place, " & Sons 6789")
	case typ == reflect.TypeFor[duolink.Timestamp]():
		return text
	case typ == reflect.TypeFor[duolink.Decimal]():
		return json.Number("340.12")
	}
	switch typ.Kind() {
	case reflect.Bool:
		return true
	case reflect.Int64:
		return 42
	case reflect.Slice:
		return []any{w.sample(typ.Elem(), place, aliased)}
	case reflect.Map:
		return map[string]any{text: w.sample(typ.Elem(), place, aliased)}
	case reflect.Struct:
		return w.object(typ, aliased)
	}
	if strings.HasSuffix(place, ".RequestID") { // of all that a server says it is there to be printed
		return "req-0001"
	}
	w.mark(place)
	return text
}

func (w *canaryWorld) object(typ reflect.Type, aliased bool) map[string]any {
	o := map[string]any{"a_new_member": w.secretAt(typ.Name()+".unknown", "")}
	for f := range typ.Fields() {
		if f.Anonymous {
			for name, v := range w.object(f.Type, aliased) {
				o[name] = v
			}
			continue
		}
		name := f.Tag.Get("json")
		if also := f.Tag.Get("also"); aliased && also != "" {
			name, _, _ = strings.Cut(also, ",")
		}
		o[name] = w.sample(f.Type, typ.Name()+"."+f.Name, aliased)
		if name == "account_id" {
			o[name] = canaryAccountID
		}
	}
	return o
}
