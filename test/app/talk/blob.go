package talk

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/linkspan/linkspan/test/app/origin"
)

// sumTrailer comes after the bytes, and has their SHA-256.
const sumTrailer = "X-App-Sha256"

// mostBytes bounds what is asked for, far above what a test moves.
const mostBytes = 100 << 30

// stored is what the server answers to an upload.
type stored struct {
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// BlobHandler serves GET /blob?bytes=…, and takes PUT /blob. Nothing is kept.
func BlobHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /blob", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
		if err != nil || n < 0 || n > mostBytes {
			http.Error(w, "bytes is no number that is served: ask for /blob?bytes=1000", http.StatusBadRequest)
			return
		}
		w.Header().Set("Trailer", sumTrailer)
		w.Header().Set("Content-Type", "application/octet-stream")
		sum := sha256.New()
		if _, err := io.CopyN(io.MultiWriter(w, sum), source(), n); err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // what is cut must not look like a whole answer
		}
		w.Header().Set(sumTrailer, hex.EncodeToString(sum.Sum(nil)))
	})
	mux.HandleFunc("PUT /blob", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			http.Error(w, "reading the bytes: "+err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(stored{n, hex.EncodeToString(sum.Sum(nil))}) // the client counts what does not come
	})
	return mux
}

// source gives bytes that cannot be compressed, the same ones each time.
func source() io.Reader { return rand.NewChaCha8([32]byte{}) }

// Transfer says what the client of the blob server does.
type Transfer struct {
	// URL is that of the server, such as http://blob-svc:8080.
	URL string
	// Bytes is how many are moved.
	Bytes int64
	// Up is to the server, else from there.
	Up bool
	// Patience is for the whole transfer.
	Patience time.Duration
}

// TransferResult is what came of it.
type TransferResult struct {
	Bytes   int64   `json:"bytes"`
	SHA256  string  `json:"sha256"`
	Seconds float64 `json:"seconds"`
	// Rate is in million bytes in a second.
	Rate float64 `json:"megabytesPerSecond"`
	// By is who answered, as cluster/pod.
	By string `json:"by"`
}

// Run moves the bytes and checks what arrived.
func (t Transfer) Run(ctx context.Context) (TransferResult, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Patience)
	defer cancel()
	began := time.Now()
	move := t.download
	if t.Up {
		move = t.upload
	}
	moved, err := move(ctx)
	moved.Seconds = time.Since(began).Seconds()
	moved.Rate = float64(moved.Bytes) / 1e6 / max(moved.Seconds, 1e-9)
	if err != nil {
		return moved, err
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, source(), t.Bytes); err != nil {
		return moved, fmt.Errorf("computing the sum: %w", err)
	}
	if want := hex.EncodeToString(sum.Sum(nil)); moved.Bytes != t.Bytes || moved.SHA256 != want {
		return moved, fmt.Errorf("%d bytes with the SHA-256 %s arrived, want %d with %s", moved.Bytes, moved.SHA256, t.Bytes, want)
	}
	return moved, nil
}

func (t Transfer) download(ctx context.Context) (result TransferResult, err error) {
	response, err := t.ask(ctx, http.MethodGet, t.URL+"/blob?bytes="+strconv.FormatInt(t.Bytes, 10), http.NoBody)
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	result.By = by(response.Header)
	sum := sha256.New()
	if result.Bytes, err = io.Copy(sum, response.Body); err != nil {
		return result, fmt.Errorf("downloading, after %d bytes: %w", result.Bytes, err)
	}
	result.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if said := response.Trailer.Get(sumTrailer); said != result.SHA256 {
		return result, fmt.Errorf("the server sent bytes with the SHA-256 %q, those that arrived have %s", said, result.SHA256)
	}
	return result, nil
}

func (t Transfer) upload(ctx context.Context) (result TransferResult, err error) {
	response, err := t.ask(ctx, http.MethodPut, t.URL+"/blob", io.LimitReader(source(), t.Bytes))
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	var got stored
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		return result, fmt.Errorf("reading what the server got: %w", err)
	}
	return TransferResult{Bytes: got.Bytes, SHA256: got.SHA256, By: by(response.Header)}, nil
}

func (t Transfer) ask(ctx context.Context, method, url string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", t.URL, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking %s: %w", t.URL, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s answers %s", t.URL, response.Status), response.Body.Close())
	}
	return response, nil
}

func by(h http.Header) string { return h.Get(origin.Cluster) + "/" + h.Get(origin.Pod) }
