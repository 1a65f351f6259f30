package wire

import (
	"errors"
	"reflect"
)

// Errors about JSON that is not the expected answer.
var (
	ErrNoData      = errors.New("the answer lacks what was asked for")
	ErrNoObject    = errors.New("the answer is not a JSON object")
	ErrErrorMember = errors.New("the answer carries an error")
)

// Whole reads one whole document.
func Whole[T any](s *Scanner, answer func(*Scanner) (T, error)) (T, error) {
	v, err := answer(s)
	if err == nil {
		err = s.End()
	}
	return v, err
}

// Envelope reads Supermetrics' {"meta", "data", "error"}. The member function gets all members
// except error. An error fails the answer, whatever the status.
func Envelope(s *Scanner, member func(key []byte) error) error {
	if s.Next() != Object {
		return ErrNoObject
	}
	failed := false
	err := s.Object(func(key []byte) error {
		if string(key) == "error" {
			failed = s.Next() != Null
			return s.Skip()
		}
		return member(key)
	})
	if err == nil && failed {
		return ErrErrorMember
	}
	return err
}

// Enveloped reads an envelope into the struct that to points at.
func Enveloped(r *Reader, s *Scanner, to any) error {
	v := reflect.ValueOf(to).Elem()
	all := r.fieldsOf(v.Type())
	return Envelope(s, func(key []byte) error { return all.read(s, v, key) })
}

// One reads an answer whose data is one resource, which may be in a list of one, as the vendor's
// page shows. If the object has none of the expected members, it is not the resource, here and in
// Bare.
func One[T any](r *Reader, s *Scanner) (*T, error) {
	var found *T
	err := Envelope(s, func(key []byte) error {
		switch {
		case string(key) != "data":
			return s.Skip()
		case s.Next() == Object:
			found = new(T)
			return r.Read(s, found)
		}
		var all []T
		err := r.Read(s, &all)
		if len(all) == 1 {
			found = &all[0]
		}
		return err
	})
	if err == nil && (found == nil || reflect.ValueOf(found).Elem().IsZero()) {
		err = ErrNoData
	}
	return found, err
}

// Many reads an answer whose data is a list. A missing or null list is empty.
func Many[T any](r *Reader, s *Scanner) ([]T, error) {
	var answer struct {
		Data []T `json:"data"`
	}
	err := Enveloped(r, s, &answer)
	return answer.Data, err
}

// Bare reads an answer that is the resource itself, as MoneyKit's answers are.
func Bare[T any](r *Reader, s *Scanner) (*T, error) {
	v := new(T)
	if s.Next() != Object {
		return nil, ErrNoObject
	}
	err := r.Read(s, v)
	if err == nil && reflect.ValueOf(v).Elem().IsZero() {
		err = ErrNoData
	}
	return v, err
}
