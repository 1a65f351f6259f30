package wire

import (
	"reflect"
	"strings"
)

// Unfit is good JSON that is not the answer that was asked for. Its text is safe to print.
type Unfit string

func (u Unfit) Error() string { return string(u) }

// Errors about JSON that is not the expected answer.
const (
	ErrNoObject    = Unfit("the answer is not a JSON object")
	ErrErrorMember = Unfit("the answer carries an error")
)

// Missing is an answer without a member that it must have.
func Missing(member string) Unfit { return Unfit("the answer lacks " + member) }

// NotList is an answer with something else instead of a list.
func NotList(member string) Unfit { return Unfit(member + " in the answer is not a list") }

// OtherItems is an answer with a list of something else.
func OtherItems(member string) Unfit {
	return Unfit(member + " in the answer is a list of something else than what was asked for")
}

// Whole reads one whole document.
func Whole[T any](s *Scanner, answer func(*Scanner) (T, error)) (T, error) {
	v, err := answer(s)
	if err == nil {
		err = s.End()
	}
	return v, err
}

// Meta is what Supermetrics says beside the data. Total is -1 if the answer does not say it.
type Meta struct {
	RequestID string `json:"request_id"`
	Query     struct {
		CacheMinutes int64 `json:"cache_minutes"`
	} `json:"query"`
	Paginate struct {
		Offset int64 `json:"offset"`
		Limit  int64 `json:"limit"`
		Total  int64 `json:"total"`
	} `json:"paginate"`
}

// Envelope reads Supermetrics' {"meta", "data", "error"}. An error with content fails the answer,
// whatever the status and the data. Without data, every error does so, in any dialect.
func Envelope(r *Reader, s *Scanner, data func() error) (Meta, error) {
	var meta Meta
	meta.Paginate.Total = -1
	came, failed, alone := false, false, false
	if s.Next() != Object {
		return meta, ErrNoObject
	}
	err := s.members(func(key []byte) (err error) {
		switch name := string(key); {
		case name == "data":
			came = true
			return data()
		case name == "meta":
			return r.Read(s, &meta)
		case isErrorMember(name):
			alone = alone || s.Next() != Null
			says, err := s.hasContent()
			failed = failed || says && name == "error"
			return err
		}
		s.differs(UnknownMember)
		return s.Skip()
	})
	switch {
	case err != nil:
		return meta, err
	case failed || alone && !came:
		return meta, ErrErrorMember
	case !came:
		return meta, Missing("data")
	}
	return meta, nil
}

// isErrorMember reports whether a member describes an error, in one of the dialects.
func isErrorMember(name string) bool {
	switch name {
	case "error", "errors", "error_code", "error_type", "error_message", "detail":
		return true
	}
	return false
}

// hasContent takes the next value and reports whether it says anything. Null, false, zero, a blank
// text, and a list or an object of nothing else say nothing: some servers always write them.
func (s *Scanner) hasContent() (says bool, err error) {
	inner := func() error {
		more, err := s.hasContent()
		says = says || more
		return err
	}
	switch s.Next() {
	case Bool:
		return s.Bool()
	case Number:
		text, err := s.Text()
		return strings.Trim(text, "-0.") != "", err
	case String:
		text, err := s.Text()
		return strings.TrimSpace(text) != "", err
	case Array:
		err = s.Array(inner)
	case Object:
		err = s.Object(func([]byte) error { return inner() })
	default:
		err = s.Skip()
	}
	return says, err
}

// One reads an answer whose data is one resource, which may be in a list of one, as the vendor's
// page shows. If the object has none of the expected members, it is not the resource.
func One[T any](r *Reader, s *Scanner) (*T, error) {
	var found *T
	_, err := Envelope(r, s, func() error {
		if s.Next() == Object {
			found = new(T)
			return r.Read(s, found)
		}
		s.differs(OtherType)
		var all []T
		err := r.Read(s, &all)
		if len(all) == 1 {
			found = &all[0]
		}
		return err
	})
	if err == nil && (found == nil || reflect.ValueOf(found).Elem().IsZero()) {
		err = Unfit("data in the answer is not what was asked for")
	}
	return found, err
}

// List is a list as it came.
type List[T any] struct {
	Items []T
	Raw   int  // how many items came, also those that are left out
	Null  bool // null stood in place of the list
}

// ReadList reads a list that must be there. If none of its items has any of the expected members, it
// is not the list. The name is for the error.
func ReadList[T any](r *Reader, s *Scanner, name string) (l List[T], err error) {
	l.Null = s.Next() == Null
	l.Raw, err = r.readList(s, reflect.ValueOf(&l.Items).Elem(), name)
	return l, err
}

// readList reads into a list, and returns how many items came.
func (r *Reader) readList(s *Scanner, to reflect.Value, name string) (raw int, err error) {
	if s.Next() == Null {
		return 0, s.Skip()
	}
	l := r.listOf(to.Type())
	all := l.room()
	defer l.done(all)
	raw, isList, err := l.readItems(s, all)
	l.copyTo(to, all)
	switch {
	case err != nil:
		return raw, err
	case !isList:
		return raw, NotList(name)
	case raw > 0 && !hasValue(to):
		return raw, OtherItems(name)
	}
	return raw, nil
}

// hasValue reports whether any item of a list is not zero.
func hasValue(list reflect.Value) bool {
	for i := range list.Len() {
		if !list.Index(i).IsZero() {
			return true
		}
	}
	return false
}

// Many reads an answer whose data is a list.
func Many[T any](r *Reader, s *Scanner) (l List[T], err error) {
	_, err = Envelope(r, s, func() (err error) {
		l, err = ReadList[T](r, s, "data")
		return err
	})
	return l, err
}

// Bare reads an answer that is the resource itself, as MoneyKit's answers are. The member called
// must shows that it is the resource: a list may be empty or null, anything else has to have a value.
// Without it, and beside an empty list, an error in the answer is an error.
func Bare[T any](r *Reader, s *Scanner, must string) (*T, error) {
	v := new(T)
	if s.Next() != Object {
		return nil, ErrNoObject
	}
	of := reflect.ValueOf(v).Elem()
	all := r.fieldsOf(of.Type())
	proof := all.byName[must].in(of)
	isList := proof.Kind() == reflect.Slice
	came, failed, alone := false, false, false
	err := all.readObject(s, reflect.ValueOf(v).UnsafePointer(), func(key []byte) (bool, error) {
		name := string(key)
		if name == must {
			came = true
			if isList {
				_, err := r.readList(s, proof, must)
				return true, err
			}
		}
		if _, known := all.byName[name]; known || !isErrorMember(name) {
			return false, nil
		}
		alone = alone || s.Next() != Null
		says, err := s.hasContent()
		failed = failed || says
		return true, err
	})
	for name, f := range all.byName {
		failed = failed || isErrorMember(name) && f.of != nil && !f.in(of).IsZero()
	}
	nothing := proof.IsZero() || isList && proof.Len() == 0
	switch {
	case err != nil:
		return nil, err
	case failed && nothing, alone && !came:
		return nil, ErrErrorMember
	case !came || nothing && !isList:
		return nil, Missing(must)
	}
	return v, nil
}
