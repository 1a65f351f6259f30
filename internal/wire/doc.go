// Package wire reads JSON answers by the tags of structs. It is tolerant: an odd value in one field
// never loses the other fields, or the other items of a list.
//
// A [Scanner] gives a document value by value. token.go takes the tokens from the bytes, of a whole
// document or through a window on a stream, and text.go reads the escapes. buffer.go has the room for
// the bytes, which is wiped and used again, so whatever is read is a copy. A [Reader] takes the values
// and fills a struct; list.go reads its lists. `json:"account_number"` is the name of a
// member, and `also:"account,number"` are its names in other dialects. answer.go reads the shapes
// in which such a struct comes, and is strict: an answer without what was asked for is an [Unfit].
// drift.go tells how a document differs from what is documented, which `wire:"required"` is a part
// of.
//
//   - A text is a string, or a number as it is written. Of flags and numbers, what a person reads at a
//     glance is read: scalar.go has the rules.
//   - A value of another type than the field's is skipped. So are null and an empty text: they
//     never erase a value that came under another name of the field.
//   - In a list, an item of a wrong type is left out. An object whose names are numbers is a list,
//     too. A map has an entry for each member that is an object.
//   - Only invalid JSON is an error, and a document that would take too much memory.
//
// The package knows nothing of HTTP or of the types that it reads. Its tests need no server.
package wire
