package netboxtest

// Version is the NetBox release that a Server behaves like.
type Version string

// The releases whose behaviour is recorded in testdata/transcripts.
const (
	V37 Version = "3.7.8"
	V42 Version = "4.2.9"
	V47 Version = "4.7.3"
)

// since says whether v is o or a later release. The three versions order as
// strings.
func (v Version) since(o Version) bool { return v >= o }

func (v Version) known() bool { return v == V37 || v == V42 || v == V47 }

// api is the value of the API-Version header: the release without its patch
// level.
func (v Version) api() string { return string(v[:3]) }

// python is the interpreter the recordings were made with; it appears in the
// body of a 500.
func (v Version) python() string {
	if v.since(V47) {
		return "3.13.0"
	}
	return "3.11.7"
}

// nonField is the key of errors that belong to no field. Since 4.7 it is
// Django's own everywhere; before, errors found by the serializer (not by the
// model) had another.
func (v Version) nonField() string {
	if v.since(V47) {
		return "__all__"
	}
	return "non_field_errors"
}
