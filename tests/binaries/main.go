// Command binaries looks at the files that `make binaries` has made, and fails if one is
// not what its name says:
//
//	go run ./tests/binaries DIRECTORY
//
// It runs none of them: what they are for is known from their headers.
package main

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A check returns what the file is, in a few words, or how it is not what it should be.
type check func(file, arch string) (string, error)

var checks = map[string]check{"linux": glibc, "musl": static, "macos": macOS, "windows": windows}

// names are all the files that there have to be.
var names = []string{
	"reflex-linux-amd64", "reflex-linux-arm64", "reflex-musl-amd64", "reflex-musl-arm64",
	"reflex-macos-amd64", "reflex-macos-arm64", "reflex-windows-amd64.exe",
}

func main() {
	failed := false
	for _, name := range names {
		parts := strings.Split(strings.TrimSuffix(name, ".exe"), "-")
		is, err := checks[parts[1]](filepath.Join(os.Args[1], name), parts[2])
		if err != nil {
			failed, is = true, "FAILED: "+err.Error()
		}
		fmt.Printf("%-26s %s\n", name, is)
	}
	if failed {
		os.Exit(1)
	}
}

var elfMachines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// static needs nothing of the system that it runs on but the kernel.
func static(file, arch string) (string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil || len(libraries) > 0 || f.Machine != elfMachines[arch] {
		return "", fmt.Errorf("for %v, with the libraries %q: %v", f.Machine, libraries, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("it has a dynamic linker")
		}
	}
	return "static", nil
}

// oldestGlibc is the one that zig is told to link for.
const oldestGlibc = 17 // 2.17

// glibc needs a glibc that is no newer than the one it was made for.
func glibc(file, arch string) (string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	symbols, err := f.ImportedSymbols()
	if err != nil || len(symbols) == 0 || f.Machine != elfMachines[arch] {
		return "", fmt.Errorf("for %v, with %d symbols of libraries: %v", f.Machine, len(symbols), err)
	}
	for _, symbol := range symbols {
		var minor int
		if n, _ := fmt.Sscanf(symbol.Version, "GLIBC_2.%d", &minor); n == 1 && minor > oldestGlibc {
			return "", fmt.Errorf("%s is of %s", symbol.Name, symbol.Version)
		}
	}
	return fmt.Sprintf("glibc 2.%d", oldestGlibc), nil
}

// macOS needs the libraries that every macOS has, from a version on, and a signature on
// Apple's own processors.
func macOS(file, arch string) (string, error) {
	f, err := macho.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if f.Cpu != map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[arch] {
		return "", fmt.Errorf("it is for %v", f.Cpu)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		return "", err
	}
	for _, library := range libraries {
		if !strings.HasPrefix(library, "/usr/lib/") && !strings.HasPrefix(library, "/System/Library/Frameworks/") {
			return "", fmt.Errorf("it needs %s", library)
		}
	}
	const buildVersion, codeSignature, platformMacOS = 0x32, 0x1d, 1
	oldest, signed := "", false
	for _, load := range f.Loads {
		raw := load.Raw()
		switch word := func(at int) uint32 { return f.ByteOrder.Uint32(raw[at:]) }; word(0) {
		case buildVersion:
			if word(8) == platformMacOS {
				oldest = fmt.Sprintf("%d.%d", word(12)>>16, word(12)>>8&0xff)
			}
		case codeSignature:
			signed, err = isAdHoc(file, int64(word(8)), int(word(12)))
		}
	}
	if err != nil || oldest != "12.0" || arch == "arm64" && !signed {
		return "", fmt.Errorf("from macOS %q, signed: %v, %v", oldest, signed, err)
	}
	return "macOS " + oldest, nil
}

// isAdHoc reports whether a signature says that nobody has signed, as a linker does.
func isAdHoc(file string, offset int64, size int) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	signature := make([]byte, size)
	if _, err := f.ReadAt(signature, offset); err != nil {
		return false, err
	}
	directory := bytes.Index(signature, []byte{0xfa, 0xde, 0x0c, 0x02}) // CodeDirectory's magic
	const adHoc = 2
	return directory >= 0 && binary.BigEndian.Uint32(signature[directory+12:])&adHoc != 0, nil
}

// windows needs the libraries that every Windows has.
func windows(file, arch string) (string, error) {
	f, err := pe.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok || f.Machine != pe.IMAGE_FILE_MACHINE_AMD64 || header.Subsystem != pe.IMAGE_SUBSYSTEM_WINDOWS_CUI {
		return "", fmt.Errorf("it is no console program for %s", arch)
	}
	symbols, err := f.ImportedSymbols()
	if err != nil {
		return "", err
	}
	for _, symbol := range symbols {
		_, library, _ := strings.Cut(symbol, ":")
		if !slices.Contains([]string{"kernel32.dll"}, strings.ToLower(library)) {
			return "", fmt.Errorf("it needs %s of %s", symbol, library)
		}
	}
	return "a console program", nil
}
