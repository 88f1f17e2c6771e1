package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serve is the web server. It may visit another meanwhile; /visits then tells how that went.
func serve(ctx context.Context, visited string) error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	var sick atomic.Bool
	var went, failed atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("request", r.URL.Path)
		fmt.Fprintf(w, "%s %s\n", name, os.Getenv("VERSION"))
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			http.Error(w, "sick", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/sicken", func(http.ResponseWriter, *http.Request) { sick.Store(true) })
	mux.HandleFunc("/heal", func(http.ResponseWriter, *http.Request) { sick.Store(false) })
	mux.HandleFunc("/visits", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "went %d failed %d\n", went.Load(), failed.Load())
	})
	mux.HandleFunc("/die", func(http.ResponseWriter, *http.Request) {
		fmt.Println("dying as asked")
		os.Exit(3)
	})
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	if visited != "" {
		go visit(ctx, visited, &went, &failed)
	}
	fmt.Println("serving", name, os.Getenv("VERSION"))
	if err := server.ListenAndServe(); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// visit fetches a page again and again, over a new connection each time. Only what happens after the first success counts.
func visit(ctx context.Context, url string, went, failed *atomic.Int64) {
	for ctx.Err() == nil {
		if _, err := fetch(ctx, url); err == nil {
			went.Add(1)
		} else if went.Load() > 0 {
			failed.Add(1)
			fmt.Println("failed", time.Now().UTC().Format(time.StampMilli), err)
		}
		time.Sleep(pause)
	}
}

// fetch gets a page over a connection of its own, so that every page goes through the service's rules.
func fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	return send(req, &http.Transport{DisableKeepAlives: true})
}

func send(req *http.Request, transport *http.Transport) (string, error) {
	transport.DialContext = (&net.Dialer{Timeout: 5 * time.Second}).DialContext
	client := &http.Client{Timeout: 10 * time.Second, Transport: transport}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = errors.New(resp.Status)
	}
	return string(body), err
}

func get(ctx context.Context, url string) error {
	body, err := fetch(ctx, url)
	fmt.Print(body)
	return err
}

// without fetches pages until so many in a row do not hold the text.
func without(ctx context.Context, text, count, url string) error {
	want, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for row := 0; row < want; {
		body, err := fetch(ctx, url)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("never %d pages in a row without %q", want, text)
		case err != nil || strings.Contains(body, text):
			row = 0
		default:
			row++
		}
	}
	return nil
}

// askAPI reads from the API server as programs in pods do: with the token and the authority of the pod's service account.
func askAPI(ctx context.Context, path string) error {
	const folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
	token, err := read(folder + "token")
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(folder + "ca.crt")
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return errors.New("ca.crt holds no certificate")
	}
	address := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	body, err := send(req, &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}})
	fmt.Println(body)
	return err
}
