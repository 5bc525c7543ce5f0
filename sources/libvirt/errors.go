package libvirt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	golibvirt "github.com/digitalocean/go-libvirt"

	"allocsync/sources"
)

// errNoAnswer is the cause with which one call's context ends.
var errNoAnswer = errors.New("call_timeout is over")

// errLost: the connection broke off.
var errLost = fmt.Errorf("%w: the connection was lost", sources.ErrUnreachable)

func lostBy(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: the daemon closed it", errLost)
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

func garbled(format string, args ...any) error {
	return fmt.Errorf("%w: the answer makes no sense: %s", sources.ErrUnreachable, fmt.Sprintf(format, args...))
}

// tooLargeError says that a message is larger than max_bytes.
type tooLargeError struct {
	size  uint32
	limit int
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("a message of %d bytes is larger than max_bytes, %d", e.size, e.limit)
}

func (e *tooLargeError) Unwrap() error { return sources.ErrUnreachable }

// answerError is an error that libvirt itself reports.
type answerError struct{ answer golibvirt.Error }

func (e *answerError) Error() string {
	return fmt.Sprintf("libvirt answers %d %q", e.answer.Code, strings.TrimSpace(e.answer.Message))
}

// Unwrap tells what callers tell apart. The codes are those of
// https://libvirt.org/html/libvirt-virterror.html#virErrorNumber.
func (e *answerError) Unwrap() error {
	switch golibvirt.ErrorNumber(e.answer.Code) {
	case golibvirt.ErrAuthFailed, golibvirt.ErrAuthCancelled, golibvirt.ErrAuthUnavailable, golibvirt.ErrAccessDenied, golibvirt.ErrOperationDenied:
		return sources.ErrDenied
	}
	return sources.ErrUnreachable
}

// answered reports whether libvirt answered with this error.
func answered(err error, number golibvirt.ErrorNumber) bool {
	e, ok := errors.AsType[*answerError](err)
	return ok && golibvirt.ErrorNumber(e.answer.Code) == number
}

// gone reports that what was asked for is no longer there: it was deleted, or
// has moved to another host, since it was listed.
func gone(err error) bool {
	return answered(err, golibvirt.ErrNoDomain) || answered(err, golibvirt.ErrNoNetwork)
}

// notOffered reports that the daemon's driver has no such thing as networks or
// leases at all.
func notOffered(err error) bool { return answered(err, golibvirt.ErrNoSupport) }

// failed wraps what a call to a host failed with in the sentinel that fits, and
// in a text that says what to do.
func (e endpoint) failed(call string, err error) error {
	answer := golibvirt.Error{}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		// The caller's: the source's own time is told by over.
	case errors.Is(err, sources.ErrDenied), errors.Is(err, sources.ErrUnreachable):
	case errors.As(err, &answer):
		err = &answerError{answer}
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: %w", sources.ErrDenied, err)
	default:
		err = fmt.Errorf("%w: %w", sources.ErrUnreachable, err)
	}
	return &sources.Failure{Doing: call + " " + e.label, Cause: err, Advice: e.advice(err)}
}

// over says why a call ended with its context: because the time of the call or
// of the whole reading was over, or because the caller no longer wants it.
// outer is the context that the caller gave.
func over(outer context.Context, o Options) error {
	switch {
	case outer.Err() == nil:
		return noAnswer(o.CallTimeout)
	case errors.Is(context.Cause(outer), sources.ErrOutOfTime):
		return noAnswer(o.Timeout)
	}
	return outer.Err()
}

func noAnswer(within time.Duration) error { return &silenceError{within} }

// silenceError says that no answer came in time.
type silenceError struct{ within time.Duration }

func (e *silenceError) Error() string {
	return fmt.Sprintf("%s: no answer within %s", sources.ErrUnreachable, e.within)
}

func (e *silenceError) Unwrap() error { return sources.ErrUnreachable }

// advice says what the operator can do about an error.
func (e endpoint) advice(err error) string {
	switch {
	case errors.As(err, new(*tooLargeError)):
		return "raise max_bytes, if it is below 32 MiB"
	case errors.Is(err, errSASL):
		return "SASL is not spoken here: reach the host with tls and a client certificate, or with ssh"
	case errors.Is(err, errCertificate):
		return "its log says why: see that the certificate is signed by an authority in the host's ca_file, is not expired and may be used by clients, and that tls_allowed_dn_list in the host's libvirtd.conf lets it in"
	case errors.Is(err, golibvirt.ErrUnsupported):
		return "its libvirt is too old for this call"
	}
	if text := e.adviceSSH(err); text != "" {
		return text
	}
	if text := e.adviceTLS(err); text != "" {
		return text
	}
	return e.adviceSocket(err)
}

func (e endpoint) adviceSSH(err error) string {
	if fault, ok := errors.AsType[*hostKeyError](err); ok {
		return fmt.Sprintf("compare it with what ssh-keygen -lf says of the files /etc/ssh/ssh_host_*_key.pub on the host, then put the line that %s prints into %s", keyscan(e.address), fault.file)
	}
	switch {
	case errors.Is(err, errLogin):
		return fmt.Sprintf("add the public key of ssh_key_file to the authorized_keys of %s on the host, with restrict,port-forwarding before it", e.user)
	case errors.Is(err, errForward):
		return fmt.Sprintf("see that libvirt runs there, that %s may use its socket, and that sshd_config has AllowStreamLocalForwarding yes; name the socket with socket= if it is elsewhere", e.user)
	case e.transport == overSSH && strings.Contains(err.Error(), "no common algorithm for host key"): // it has no type
		return fmt.Sprintf("the known keys of the host are of kinds that it no longer has: put the lines that %s prints into %s", keyscan(e.address), e.login.file)
	}
	return ""
}

func (e endpoint) adviceTLS(err error) string {
	verification := (*tls.CertificateVerificationError)(nil)
	invalid := x509.CertificateInvalidError{}
	switch {
	case errors.As(err, new(x509.HostnameError)):
		return "name the host in uris as its certificate does"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the host's certificate, or set this machine's clock"
	case errors.As(err, &verification):
		return "set ca_file (or pkipath= in the URI) to the authority that signed the host's certificate"
	case errors.As(err, new(tls.RecordHeaderError)):
		return "what answers there does not speak TLS: is it libvirt's TLS port, 16514?"
	}
	return ""
}

// adviceWriting says how a host lets this client reserve.
func (e endpoint) adviceWriting() string {
	switch {
	case e.onlyReads():
		return "that socket is the read-only one, and reserving has to write: name the other one in uris, " + strings.TrimSuffix(e.socket, readOnlySuffix) + ", or take out reserve for this source"
	case e.transport == overUnix || e.transport == overSSH:
		return "reserving has to write: let this user do so (group libvirt, or a polkit rule for org.libvirt.unix.manage, and with access_drivers for org.libvirt.api.network.write and .save), or take out reserve for this source"
	}
	return "reserving has to write: let this client do so (tls_allowed_dn_list, auth_* and access_drivers in the host's libvirtd.conf), or take out reserve for this source"
}

func (e endpoint) adviceSocket(err error) string {
	denied := errors.Is(err, sources.ErrDenied)
	switch {
	case denied && e.writing:
		return e.adviceWriting()
	case denied && e.transport == overUnix && e.socket == "":
		return "the read-only socket is open to everyone by default: see unix_sock_ro_perms in libvirtd.conf, or run allocsync as a user of its group"
	case denied && e.transport == overUnix:
		return "run allocsync as a user who may use this socket (group libvirt), or name the read-only one: /run/libvirt/libvirt-sock-ro"
	case denied:
		return "let this client read: see auth_* and access_drivers in the host's libvirtd.conf"
	case errors.Is(err, syscall.ENOENT) && e.transport == overUnix:
		return "no such socket: is libvirt running, and its socket mounted into the container? systemctl start libvirtd-ro.socket, or virtqemud-ro.socket where the daemons are modular"
	case errors.Is(err, syscall.ECONNREFUSED) && e.transport == overTLS:
		return "nothing listens there: on the host, systemctl start libvirtd-tls.socket (or virtproxyd-tls.socket)"
	case errors.Is(err, syscall.ECONNREFUSED) && e.transport == overTCP:
		return "nothing listens there: on the host, systemctl start libvirtd-tcp.socket (or virtproxyd-tcp.socket); prefer tls, as tcp is neither encrypted nor authenticated"
	case errors.Is(err, syscall.ECONNREFUSED) && e.transport == overSSH:
		return "nothing listens there: does sshd run on the host, on this port?"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on the socket: is libvirt running?"
	}
	return ""
}
