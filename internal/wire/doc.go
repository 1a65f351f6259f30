// Package wire reads JSON answers by the tags of structs. It is tolerant: an odd value in one field
// never loses the other fields, or the other items of a list.
//
// A [Scanner] gives a document value by value; scan.go is the only file that knows what scans the
// bytes. A [Reader] asks it, and fills a struct: `json:"account_number"` is the name of a member,
// and `also:"account,number"` are names that other dialects have for it. Answers (in answer.go) are
// the shapes that hold such a struct.
//
//   - A text is a string, or a number as it is written. A flag is a boolean, also a quoted one. A
//     whole number may be quoted, or have a fraction of zeros.
//   - A value of another type than the field's is passed over. So are null and an empty text: they
//     never erase what another name of the field has brought.
//   - In a list, an item that is odd is left out. A map has an entry for each member that is an
//     object.
//   - Only what is no JSON is an error, and what would take more memory than it may.
//
// The package knows nothing of HTTP, nor of the types that it reads. Its tests need no server.
package wire
