package image

import (
	"slices"
	"testing"
	"time"
)

func TestToRemove(t *testing.T) {
	now := time.Unix(10_000, 0)
	ago := func(m int) time.Time { return now.Add(-time.Duration(m) * time.Minute) }
	images := []Known{
		{ID: "new", Size: 10, Detected: ago(1), Used: ago(1)},
		{ID: "used", Size: 10, Detected: ago(90), Used: now, InUse: true},
		{ID: "pinned", Size: 10, Detected: ago(90), Pinned: true},
		{ID: "recent", Size: 10, Detected: ago(90), Used: ago(5)},
		{ID: "old", Size: 10, Detected: ago(90), Used: ago(60)},
		{ID: "never", Size: 10, Detected: ago(90)},
	}
	for _, c := range []struct {
		name      string
		available int64
		want      []string
	}{
		{"room enough", 16, nil},
		{"a little", 15, []string{"never"}},
		{"more", 5, []string{"never", "old"}},
		{"all that may go", 0, []string{"never", "old"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := ToRemove(images, Disk{Capacity: 100, Available: c.available}, now)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q", got)
			}
		})
	}
	if got, _ := ToRemove(images, Disk{}, now); got != nil {
		t.Errorf("an unknown disk: %q", got)
	}
}
