package embedpy

import "github.com/reflex-dev/reflex-orm/embedpy/capi"

// OutOfTheWay moves a file descriptor of the program's to a number that Python
// code does not count on (its first file is 3), nor closes (os.closerange), where
// there is room. It returns the number. The descriptor is closed on exec.
func OutOfTheWay(fd int) int { return capi.OutOfTheWay(fd) }
