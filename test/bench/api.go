package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	namespace = "bench"
	// payload is the size in bytes of a ConfigMap's value.
	payload = 1024
	// reads is how many lists are timed, and how many times each object is read.
	listReads, getReads = 9, 2
)

// measureAPI measures creates, reads, lists, updates and watches of ConfigMaps.
func measureAPI(ctx context.Context, o *options, c *cluster, into *column) error {
	clients := make([]*kubernetes.Clientset, o.clients)
	for i := range clients {
		var err error
		if clients[i], err = c.connect(); err != nil {
			return err
		}
		// The connection is made before anything is timed.
		if _, err := clients[i].CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
	}
	if err := ensureNamespace(ctx, clients[0]); err != nil {
		return err
	}
	create := load{clients, o.objects, func(ctx context.Context, c *kubernetes.Clientset, i int) error {
		_, err := c.CoreV1().ConfigMaps(namespace).Create(ctx, configMap(i), metav1.CreateOptions{})
		return err
	}}
	if err := create.run(ctx, into, mCreateRate, mCreateLatency); err != nil {
		return fmt.Errorf("creating: %w", err)
	}
	get := load{clients, getReads * o.objects, func(ctx context.Context, c *kubernetes.Clientset, i int) error {
		_, err := c.CoreV1().ConfigMaps(namespace).Get(ctx, objectName(i%o.objects), metav1.GetOptions{})
		return err
	}}
	if err := get.run(ctx, into, mGetRate, mGetLatency); err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	for _, format := range []struct {
		accept string
		metric metric
	}{{"application/vnd.kubernetes.protobuf", mListProtobuf}, {"application/json", mListJSON}} {
		if err := measureList(ctx, clients[0], format.accept, into, format.metric); err != nil {
			return fmt.Errorf("listing: %w", err)
		}
	}
	return measureWatch(ctx, o, c, clients, into)
}

func ensureNamespace(ctx context.Context, c *kubernetes.Clientset) error {
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	_, err := c.CoreV1().Namespaces().Create(ctx, object, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a namespace: %w", err)
	}
	return nil
}

func objectName(i int) string { return fmt.Sprintf("object-%05d", i) }

// configMap has a value that does not compress well: responses of some size are compressed.
func configMap(i int) *corev1.ConfigMap {
	value := make([]byte, payload)
	for j := range value {
		value[j] = byte('a' + rand.IntN(26))
	}
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: objectName(i), Namespace: namespace},
		Data:       map[string]string{"value": string(value)},
	}
}

// load is a number of calls, spread over clients that each make one after the other.
type load struct {
	clients []*kubernetes.Clientset
	calls   int
	call    func(ctx context.Context, c *kubernetes.Clientset, i int) error
}

// run makes the calls and notes their rate and the median of their latencies.
func (l load) run(ctx context.Context, into *column, rate, latency metric) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		next  atomic.Int64
		group sync.WaitGroup
	)
	latencies := make([]time.Duration, l.calls)
	began := time.Now()
	for _, client := range l.clients {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < l.calls && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				start := time.Now()
				if err := l.call(ctx, client, i); err != nil {
					cancel(err)
				}
				latencies[i] = time.Since(start)
			}
		})
	}
	group.Wait()
	took := time.Since(began)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	into.add(rate, float64(l.calls)/seconds(took))
	into.add(latency, milliseconds(median(latencies)))
	return nil
}

// measureList times lists of all ConfigMaps to the last byte.
func measureList(ctx context.Context, c *kubernetes.Clientset, accept string, into *column, m metric) error {
	took := make([]time.Duration, listReads)
	for i := range took {
		start := time.Now()
		body, err := c.CoreV1().RESTClient().Get().Namespace(namespace).Resource("configmaps").
			SetHeader("Accept", accept).Stream(ctx)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, body)
		if err = errors.Join(err, body.Close()); err != nil {
			return err
		}
		took[i] = time.Since(start)
	}
	into.add(m, milliseconds(median(took)))
	return nil
}

// measureWatch updates every ConfigMap once while watchers look on, until each has seen all updates.
func measureWatch(ctx context.Context, o *options, c *cluster, clients []*kubernetes.Clientset, into *column) error {
	list, err := clients[0].CoreV1().ConfigMaps(namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return fmt.Errorf("reading the version to watch from: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		seen     sync.WaitGroup
		watching sync.WaitGroup
	)
	watching.Add(o.watchers)
	for range o.watchers {
		client, err := c.connect()
		if err != nil {
			return err
		}
		seen.Go(func() {
			// Nothing else in the namespace changes, so every event is one of the updates.
			if err := watchEvents(ctx, client, list.ResourceVersion, o.objects, watching.Done); err != nil {
				cancel(fmt.Errorf("watching: %w", err))
			}
		})
	}
	watching.Wait()
	began := time.Now()
	update := load{clients, o.objects, func(ctx context.Context, c *kubernetes.Clientset, i int) error {
		_, err := c.CoreV1().ConfigMaps(namespace).Update(ctx, configMap(i), metav1.UpdateOptions{})
		return err
	}}
	if err := update.run(ctx, into, mUpdateRate, mUpdateLatency); err != nil {
		return fmt.Errorf("updating: %w", err)
	}
	seen.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	into.add(mWatchRate, float64(o.watchers*o.objects)/seconds(time.Since(began)))
	return nil
}

// watchEvents reads events until there were so many. It looks only at their frames: decoding is the client's work, and would
// take the processor from the server.
func watchEvents(ctx context.Context, c *kubernetes.Clientset, version string, events int, began func()) error {
	began = sync.OnceFunc(began)
	defer began()
	body, err := c.CoreV1().RESTClient().Get().Namespace(namespace).Resource("configmaps").
		Param("watch", "1").Param("resourceVersion", version).
		SetHeader("Accept", "application/vnd.kubernetes.protobuf;stream=watch").Stream(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	began()
	reader := bufio.NewReaderSize(body, 64<<10)
	for range events {
		var size uint32
		if err := binary.Read(reader, binary.BigEndian, &size); err != nil {
			return err
		}
		if _, err := reader.Discard(int(size)); err != nil {
			return err
		}
	}
	return nil
}

// median of a list, which it sorts.
func median[T ~int64 | ~float64](list []T) T {
	slices.Sort(list)
	middle := len(list) / 2
	if len(list)%2 == 1 {
		return list[middle]
	}
	return (list[middle-1] + list[middle]) / 2
}
