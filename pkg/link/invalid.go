package link

import (
	"strconv"
	"strings"
)

// InvalidError says that a field cannot work as it is and what to write instead. Only the user can
// mend it, so retrying without a change is of no use. It never carries a secret: of a kubeconfig
// it names the field and not the value.
type InvalidError struct {
	// Field is the path of the field, such as spec.gatewayPort or users[].user.exec.
	Field string
	// Message says what is wrong and how to mend it.
	Message string
}

// Error is the field followed by the message.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Message }

// problems is a list of errors in the order in which the fields are checked, so that the same object
// always gives the same text.
type problems []*InvalidError

func (p *problems) add(field, message string) {
	*p = append(*p, &InvalidError{Field: field, Message: message})
}

// addValue adds a problem that quotes the value. Only for fields that hold no secret.
func (p *problems) addValue(field, value, message string) {
	const most = 64
	if len(value) > most {
		value = value[:most] + "…"
	}
	p.add(field, strconv.Quote(value)+" "+message)
}

// err is nil without problems, the problem itself when there is one, and else all of them.
func (p problems) err() error {
	switch len(p) {
	case 0:
		return nil
	case 1:
		return p[0]
	default:
		return p
	}
}

// Error joins the problems on one line, since conditions and events have one.
func (p problems) Error() string {
	texts := make([]string, len(p))
	for i, e := range p {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap lets errors.As find the first InvalidError.
func (p problems) Unwrap() []error {
	errs := make([]error, len(p))
	for i, e := range p {
		errs[i] = e
	}
	return errs
}
