package duolink

import "github.com/duolink/duolink/internal/redact"

// scrub takes out of the server's words what the caller sent in confidence: servers quote
// credentials and ids in their messages. A request id that quotes any of it is none.
func (e *Error) scrub(confidential *redact.Redactor) {
	words := []*string{
		&e.Message, &e.Description, &e.DisplayMessage, &e.SuggestedAction, &e.DocumentationURL, &e.RequestID,
		(*string)(&e.BankLinkErrorCode), (*string)(&e.ProductErrorCode), (*string)(&e.PlaidType),
	}
	if e.Code.Meaning() == "" { // a documented code gives nothing away, whatever the id that it contains
		words = append(words, (*string)(&e.Code))
	}
	for i := range e.Fields {
		f := &e.Fields[i]
		words = append(words, &f.Location, &f.Message, &f.Type)
	}
	id := e.RequestID
	if confidential.Clean(words...); e.RequestID != id {
		e.RequestID = ""
	}
}
