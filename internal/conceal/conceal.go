// Package conceal keeps a text where no printer finds it.
//
// A printer that works by reflection does not ask a type how it wants to be shown. It follows
// pointers and writes what it finds: testify's diff, go-cmp, spew and others do so. So the pointer
// to the text has the type of a pointer to nothing.
//
// It is no protection against whoever reads the memory of the process. Its tests are beside it, and
// the canary of the package proof ranges over the printers.
package conceal

import (
	"encoding/binary"
	"hash/maphash"
	"unsafe"
)

// Text is a concealed text. The zero Text is empty.
//
// reflect.DeepEqual finds nothing at the end of the pointer either, so it compares the digests. They
// are 64 bits of a hash whose seed is random in each process. So a digest that was printed tells
// nothing about the text.
type Text struct {
	digest uint64
	at     *[0]byte // the size of the text in eight bytes, then the text; nobody changes it
}

const sizeBytes = 8

var seed = maphash.MakeSeed()

// Of conceals a text.
func Of[T string | []byte](text T) Text {
	if len(text) == 0 {
		return Text{}
	}
	kept := make([]byte, sizeBytes+len(text))
	binary.NativeEndian.PutUint64(kept, uint64(len(text)))
	copy(kept[sizeBytes:], text)
	return Text{maphash.Bytes(seed, kept), (*[0]byte)(unsafe.Pointer(unsafe.SliceData(kept)))}
}

// Reveal returns the text.
func (t Text) Reveal() string {
	if t.at == nil {
		return ""
	}
	start := (*byte)(unsafe.Pointer(t.at))
	size := binary.NativeEndian.Uint64(unsafe.Slice(start, sizeBytes))
	return unsafe.String((*byte)(unsafe.Add(unsafe.Pointer(start), sizeBytes)), size)
}

// Is reports whether this is the text, without a copy of it.
func (t Text) Is(text []byte) bool { return t.Reveal() == string(text) }

// IsZero reports whether the text is empty.
func (t Text) IsZero() bool { return t.at == nil }

// Value is a concealed value of any type. The zero Value has the zero value.
//
// reflect.DeepEqual knows whether there is one, and finds no difference between two.
type Value[T any] struct {
	at *[0]byte // a T; nobody changes it
}

// ValueOf conceals a value.
func ValueOf[T any](v T) Value[T] { return Value[T]{(*[0]byte)(unsafe.Pointer(&v))} }

// Get returns the value.
func (v Value[T]) Get() (value T) {
	if v.at != nil {
		value = *(*T)(unsafe.Pointer(v.at))
	}
	return value
}
