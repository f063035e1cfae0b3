package certs

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const blockCertificate = "CERTIFICATE"

// certificates reads every certificate of a PEM file. Blocks of other kinds are passed over, since
// some tools put keys and certificates into one file.
func certificates(path string, data []byte) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	other := ""
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if block.Type != blockCertificate {
			other = block.Type
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d in %s cannot be read, write the file again: %w", len(found)+1, path, err)
		}
		found = append(found, cert)
	}
	switch {
	case len(found) > 0:
		return found, nil
	case other != "":
		return nil, fmt.Errorf("%s holds no certificate but a block of type %s: give the PEM file with the certificate", path, quoted(other))
	default:
		return nil, fmt.Errorf("%s holds no PEM: give a file that has -----BEGIN CERTIFICATE----- in it", path)
	}
}

// privateKey reads the first key of a PEM file.
func privateKey(path string, data []byte) (crypto.Signer, error) {
	other := ""
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			other = block.Type // such as EC PARAMETERS, which openssl puts in front
			continue
		}
		// PKCS #8 says it in the type, the older form in a header.
		if strings.HasPrefix(block.Type, "ENCRYPTED") || block.Headers["DEK-Info"] != "" {
			return nil, fmt.Errorf("the key in %s is encrypted, and there is nobody to ask for the passphrase: store it without one", path)
		}
		key, err := decodeKey(block)
		if err != nil {
			return nil, fmt.Errorf("the key in %s cannot be read, write it as PKCS #8: %w", path, err)
		}
		return key, nil
	}
	if other != "" {
		return nil, fmt.Errorf("%s holds no key but a block of type %s: give the PEM file with the certificate's key", path, quoted(other))
	}
	return nil, fmt.Errorf("%s holds no PEM: give a file that has -----BEGIN PRIVATE KEY----- in it", path)
}

// decodeKey drops the texts of the parsers, which could grow to say too much about a key.
func decodeKey(block *pem.Block) (crypto.Signer, error) {
	var key any
	var err error
	switch block.Type {
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, errors.New("it is damaged, or of an unknown kind")
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a %T cannot sign", key)
	}
	return signer, nil
}
