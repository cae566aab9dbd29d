package reflexorm

import (
	"runtime"
	"testing"
)

func TestDriverIsCopiedOnce(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	driver := Driver()
	runtime.ReadMemStats(&after)
	size := 0
	for _, content := range driver {
		size += len(content)
	}
	if took := int(after.TotalAlloc - before.TotalAlloc); took > size+size/2 {
		t.Errorf("%d bytes were taken for %d", took, size)
	}
}
