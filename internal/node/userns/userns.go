package userns

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Length is how many IDs a pod gets, First the first one that any pod may get: those below are the host's.
const (
	Length = 65536
	First  = 65536
)

const fileName = "userns"

// Ranges hands ranges out. Safe for concurrent use.
type Ranges struct {
	pods string
	most int

	mu sync.Mutex
	of map[types.UID]uint32
}

// Open reads the ranges in use from the folders of pods. most bounds how many there may be.
func Open(podsDir string, most int) (*Ranges, error) {
	r := &Ranges{pods: podsDir, most: most, of: map[types.UID]uint32{}}
	entries, err := os.ReadDir(podsDir)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for user ranges: %w", err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(podsDir, e.Name(), fileName))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading the user range of pod %s: %w", e.Name(), err)
		}
		start, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("reading the user range of pod %s: %w", e.Name(), err)
		}
		r.of[types.UID(e.Name())] = uint32(start)
	}
	return r, nil
}

// Take returns the first ID of the pod's range, always the same for one pod.
func (r *Ranges) Take(uid types.UID) (uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if start, ok := r.of[uid]; ok {
		return start, nil
	}
	taken := make(map[uint32]bool, len(r.of))
	for _, start := range r.of {
		taken[start] = true
	}
	for i := range r.most {
		start := uint32(First + i*Length)
		if taken[start] {
			continue
		}
		dir := filepath.Join(r.pods, string(uid))
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return 0, fmt.Errorf("keeping the user range of pod %s: %w", uid, err)
		}
		if err := os.WriteFile(filepath.Join(dir, fileName), []byte(strconv.Itoa(int(start))), 0o600); err != nil {
			return 0, fmt.Errorf("keeping the user range of pod %s: %w", uid, err)
		}
		r.of[uid] = start
		return start, nil
	}
	return 0, fmt.Errorf("all %d user ranges of the node are in use", r.most)
}

// Drop gives the pod's range back. Its folder is gone.
func (r *Ranges) Drop(uid types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.of, uid)
}
