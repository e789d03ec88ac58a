package login

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"
)

// The parameters of new hashes (OWASP Password Storage Cheat Sheet).
const (
	argonMemory  = 19456 // KiB
	argonTime    = 2
	argonThreads = 1
	saltBytes    = 16
	keyBytes     = 32
)

// What a hash from elsewhere may ask for. A hash is configuration, but one
// that takes a gigabyte at every sign-in is a mistake.
const (
	maxArgonMemory  = 256 << 10 // KiB
	maxArgonTime    = 10
	maxArgonThreads = 16
	maxPHC          = 512 // characters
)

const maxPassword = 1024 // bytes

var errPassword = fmt.Errorf("a password has 1 to %d bytes of UTF-8 and no control characters", maxPassword)

// HashPassword returns the Argon2id hash of a password in the PHC string format.
func HashPassword(password string) (string, error) {
	normal, err := normalPassword(password)
	if err != nil {
		return "", err
	}
	h := phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, saltBytes)}
	if _, err := rand.Read(h.salt); err != nil {
		return "", err
	}
	h.key = argon2.IDKey(normal, h.salt, h.time, h.memory, h.threads, keyBytes)
	return h.String(), nil
}

// normalPassword is the one form in which a password is hashed, whatever
// keyboard it was typed on (RFC 8265 §4.2).
func normalPassword(password string) ([]byte, error) {
	if password == "" || len(password) > maxPassword || !utf8.ValidString(password) {
		return nil, errPassword
	}
	normal, err := precis.OpaqueString.Bytes([]byte(password))
	if err != nil || len(normal) > maxPassword {
		return nil, errPassword
	}
	return normal, nil
}

// phc is an Argon2id hash with its parameters.
type phc struct {
	memory, time uint32 // KiB, passes
	threads      uint8
	salt, key    []byte
}

// decoy is verified against when there is no account, so that the answer
// takes as long as if there were one.
func decoy() *phc {
	return &phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
}

// blank returns a decoy that takes as long as h.
func (h *phc) blank() *phc {
	return &phc{memory: h.memory, time: h.time, threads: h.threads, salt: make([]byte, len(h.salt)), key: make([]byte, len(h.key))}
}

// workers is how many places of a pool the memory of h is worth.
func (h *phc) workers() int { return int((h.memory + argonMemory - 1) / argonMemory) }

// cost compares hashes by the time that they take.
func (h *phc) cost() uint64 { return uint64(h.memory) * uint64(h.time) }

var phcEncoding = base64.RawStdEncoding.Strict()

func (h *phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		phcEncoding.EncodeToString(h.salt), phcEncoding.EncodeToString(h.key))
}

var errPHC = errors.New("expected an Argon2id hash such as $argon2id$v=19$m=19456,t=2,p=1$salt$hash")

// parsePHC reads an Argon2id hash in the PHC string format. It accepts only
// what String would write, within bounds.
func parsePHC(text string) (*phc, error) {
	parts := strings.Split(text, "$")
	if len(text) > maxPHC || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return nil, errPHC
	}
	if parts[2] != "v="+strconv.Itoa(argon2.Version) {
		return nil, fmt.Errorf("%w; the version must be %d", errPHC, argon2.Version)
	}
	parameters := strings.Split(parts[3], ",")
	if len(parameters) != 3 {
		return nil, errPHC
	}
	threads, errP := parameter(parameters[2], "p=", 1, maxArgonThreads)
	memory, errM := parameter(parameters[0], "m=", 8*max(threads, 1), maxArgonMemory)
	time, errT := parameter(parameters[1], "t=", 1, maxArgonTime)
	if err := errors.Join(errM, errT, errP); err != nil {
		return nil, err
	}
	salt, errS := phcBytes(parts[4], "salt", 8, 64)
	key, errK := phcBytes(parts[5], "hash", 16, 64)
	if err := errors.Join(errS, errK); err != nil {
		return nil, err
	}
	return &phc{memory: uint32(memory), time: uint32(time), threads: uint8(threads), salt: salt, key: key}, nil
}

func parameter(text, name string, least, most int) (int, error) {
	digits, ok := strings.CutPrefix(text, name)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || strconv.Itoa(n) != digits {
		return 0, errPHC
	}
	if n < least || n > most {
		return 0, fmt.Errorf("%s%d is outside of %d to %d", name, n, least, most)
	}
	return n, nil
}

func phcBytes(text, name string, least, most int) ([]byte, error) {
	// The decoder skips line breaks; a hash has none.
	b, err := phcEncoding.DecodeString(text)
	if err != nil || phcEncoding.EncodedLen(len(b)) != len(text) {
		return nil, errPHC
	}
	if len(b) < least || len(b) > most {
		return nil, fmt.Errorf("the %s has %d bytes, outside of %d to %d", name, len(b), least, most)
	}
	return b, nil
}

// deriver is argon2.IDKey, or what a test has in its place.
type deriver func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte

// matches compares in constant time.
func (h *phc) matches(derive deriver, password []byte) bool {
	key := derive(password, h.salt, h.time, h.memory, h.threads, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}
