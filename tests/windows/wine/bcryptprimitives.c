/* wine 8 lacks this library, without which no program of Go 1.22 and later starts. It needs
   nothing of C, whose library would have to be compiled first. */
__declspec(dllimport) unsigned char SystemFunction036(void *bytes, unsigned long count); /* advapi32's RtlGenRandom */

__declspec(dllexport) int ProcessPrng(unsigned char *bytes, unsigned long long count) {
    return SystemFunction036(bytes, (unsigned long)count);
}

int DllMainCRTStartup(void *instance, unsigned long reason, void *reserved) { return 1; }
