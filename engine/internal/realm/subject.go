package realm

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"

	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// ClientSubject is the sub that a client is shown: the subject itself, or one
// of the client's sector's own (OpenID Connect Core §8.1). It follows from a key
// of the service, the sector and the subject, so that nothing need be kept, and
// nobody without the key can tell that two belong together.
func (r *Realm) ClientSubject(c *model.Client, subject string) string {
	if c.SubjectType != model.SubjectPairwise || subject == "" {
		return subject
	}
	mac := hmac.New(sha256.New, r.pairwise[:])
	mac.Write([]byte(c.Sector()))
	mac.Write([]byte{0})
	mac.Write([]byte(subject))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// revokedBytes is how much of its digest names a subject to gateways.
const revokedBytes = 12

// RevocationSubject is the name by which gateways know whose facts are no longer
// good. It says nothing of the subject: whoever may see only pairwise subjects
// follows revocations too. It is empty without a subject.
func (r *Realm) RevocationSubject(subject string) string {
	if subject == "" {
		return ""
	}
	mac := hmac.New(sha256.New, r.revocation[:])
	mac.Write([]byte(subject))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:revokedBytes])
}
