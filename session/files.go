package session

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"hash"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/jackc/pgservicefile"
	"github.com/jackc/pgx/v5"
)

// A localError is of something that is wrong on this side, whatever the server does.
type localError struct{ text string }

func (e *localError) Error() string { return e.text }

// setting is what a keyword is for pgx in the end: of the URL, the service, the
// variable, or "".
func (t *target) setting(name, variable string) string {
	if value, given := t.keywords[name]; given || !t.readsEnv {
		return value
	}
	if t.usesService() && name != "service" && name != "servicefile" {
		path := t.setting("servicefile", "PGSERVICEFILE")
		if path == "" {
			path = home(".pg_service.conf")
		}
		if file, err := pgservicefile.ReadServicefile(path); err == nil { // else it is pgx's error
			if service, err := file.GetService(t.setting("service", "PGSERVICE")); err == nil {
				if value, given := service.Settings[name]; given {
					return value
				}
			}
		}
	}
	return os.Getenv(variable)
}

func home(name string) string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, name)
}

// othersMay are the permissions that libpq and asyncpg don't want on a file of
// secrets.
const othersMay = 0o077

// checkPassfile has a file of passwords that others may read ignored, with a
// warning, as libpq (passwordFromFile of fe-connect.c) and asyncpg do.
func (t *target) checkPassfile() {
	if !t.readsEnv || t.password != "" || t.setting("password", "PGPASSWORD") != "" {
		return
	}
	path := t.setting("passfile", "PGPASSFILE")
	if path == "" {
		path = home(".pgpass")
	}
	info, err := os.Stat(path)
	reason := ""
	switch {
	case err != nil || path == os.DevNull:
		return
	case !info.Mode().IsRegular():
		reason = "it is not a plain file"
	case info.Mode()&othersMay != 0 && runtime.GOOS != "windows":
		reason = "it has group or world access: its permissions should be u=rw (0600) or less"
	default:
		return
	}
	slog.Warn("session: the password file is ignored: "+reason, "file", path)
	t.keywords["passfile"] = os.DevNull
}

// A clientKey is the client's private key, where pgx can't be left to read it.
type clientKey struct {
	certificates []tls.Certificate
	refused      error // for each connection with TLS
}

// takeClientKey reads the key, and keeps it from pgx, if it is in encrypted PKCS#8,
// which pgx can't read. A key that others may read is refused, as libpq does
// (initialize_SSL of fe-secure-openssl.c), and asyncpg doesn't.
func (t *target) takeClientKey() (*clientKey, error) {
	cert, key := t.setting("sslcert", "PGSSLCERT"), t.setting("sslkey", "PGSSLKEY")
	if t.readsEnv && cert == "" && key == "" {
		cert, key = home(".postgresql/postgresql.crt"), home(".postgresql/postgresql.key")
	}
	if mode := t.setting("sslmode", "PGSSLMODE"); cert == "" || key == "" || mode == "disable" || t.setting("sslcertmode", "PGSSLCERTMODE") == "disable" {
		return &clientKey{}, nil
	}
	info, err := os.Stat(key)
	if err != nil { // pgx's to complain about, if it matters
		return &clientKey{}, nil
	}
	if t.driver != "asyncpg" && tooOpen(info) {
		return &clientKey{refused: &localError{"session: the private key of sslkey, " + key + ", has group or world access: its permissions " +
			"must be u=rw (0600) or less, or u=rw,g=r (0640) or less if root owns it"}}, nil
	}
	text, err := os.ReadFile(key)
	block, _ := pem.Decode(text)
	if err != nil || block == nil || block.Type != "ENCRYPTED PRIVATE KEY" {
		return &clientKey{}, nil
	}
	der, err := decryptPKCS8(block.Bytes, t.setting("sslpassword", "PGSSLPASSWORD"))
	if err != nil {
		return nil, err
	}
	certText, err := os.ReadFile(cert)
	if err != nil {
		return &clientKey{}, nil
	}
	pair, err := tls.X509KeyPair(certText, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		return nil, &localError{"session: sslcert and sslkey: " + err.Error()}
	}
	t.keywords["sslcert"], t.keywords["sslkey"] = "", ""
	return &clientKey{certificates: []tls.Certificate{pair}}, nil
}

func (k *clientKey) give(conn *pgx.ConnConfig) {
	for _, c := range tlsConfigs(conn) {
		if k.certificates != nil {
			c.Certificates = k.certificates
		}
		if k.refused != nil {
			c.VerifyConnection = func(tls.ConnectionState) error { return k.refused }
		}
	}
}

func tlsConfigs(conn *pgx.ConnConfig) (configs []*tls.Config) {
	if conn.TLSConfig != nil {
		configs = append(configs, conn.TLSConfig)
	}
	for _, fallback := range conn.Fallbacks {
		if fallback.TLSConfig != nil {
			configs = append(configs, fallback.TLSConfig)
		}
	}
	return configs
}

var (
	errKeyScheme = &localError{"session: the private key of sslkey is encrypted in a way that is not known here (PBES2 with PBKDF2 and AES or " +
		"3DES is): write it anew with `openssl pkcs8 -topk8 -v2 aes256`"}
	errKeyPassword = &localError{"session: the private key of sslkey is encrypted, and sslpassword doesn't open it"}

	oidPBES2, oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}

	prfs = map[string]func() hash.Hash{ // RFC 8018, B.1
		"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.8": sha256.New224, "1.2.840.113549.2.9": sha256.New,
		"1.2.840.113549.2.10": sha512.New384, "1.2.840.113549.2.11": sha512.New,
	}
	ciphers = map[string]struct { // RFC 8018, B.2
		keySize int
		make    func([]byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)

// decryptPKCS8 opens an EncryptedPrivateKeyInfo (RFC 5958) of PBES2 (RFC 8018, A.4),
// which is what OpenSSL writes.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info struct {
		Scheme pkix.AlgorithmIdentifier
		Data   []byte
	}
	var scheme struct{ KDF, Cipher pkix.AlgorithmIdentifier }
	var kdf struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	var iv []byte
	if !unmarshal(der, &info) || !info.Scheme.Algorithm.Equal(oidPBES2) || !unmarshal(info.Scheme.Parameters.FullBytes, &scheme) ||
		!scheme.KDF.Algorithm.Equal(oidPBKDF2) || !unmarshal(scheme.KDF.Parameters.FullBytes, &kdf) ||
		!unmarshal(scheme.Cipher.Parameters.FullBytes, &iv) {
		return nil, errKeyScheme
	}
	prf, known := prfs[kdf.PRF.Algorithm.String()]
	way, knownCipher := ciphers[scheme.Cipher.Algorithm.String()]
	if !known || !knownCipher {
		return nil, errKeyScheme
	}
	key, err := pbkdf2.Key(prf, password, kdf.Salt, kdf.Iterations, way.keySize)
	if err != nil {
		return nil, errors.Join(errKeyScheme, err)
	}
	block, err := way.make(key)
	if err != nil || len(iv) != block.BlockSize() || len(info.Data)%block.BlockSize() != 0 || len(info.Data) == 0 {
		return nil, errKeyScheme
	}
	plain := make([]byte, len(info.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, info.Data)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > block.BlockSize() {
		return nil, errKeyPassword
	}
	plain = plain[:len(plain)-padding]
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		return nil, errKeyPassword
	}
	return plain, nil
}

func unmarshal(der []byte, value any) bool {
	rest, err := asn1.Unmarshal(der, value)
	return err == nil && len(rest) == 0
}
