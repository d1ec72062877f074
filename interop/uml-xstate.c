/*
 * Lets User Mode Linux before 6.13 run on processors whose register state (XSAVE) is longer than
 * the 2696 octets it reserves: those with AMX. It saves the first 2696 octets of a process, which
 * works, and wants to restore as many, which the host refuses with EFAULT ("ptrace set fp regs
 * failed, errno = 14"). Preloaded into linux.uml, this pads what is restored to the full length;
 * the components beyond are marked as unused. Nothing in the guest can use them anyway.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

enum { XSTATE_BV = 512, SHORT_MAX = 2696, FULL_MAX = 65536 };
/* Components that lie within the first 2696 octets: x87 to PKRU. */
static const uint64_t KEPT = 0x3ff;

long ptrace(enum __ptrace_request request, ...) {
    static long (*real)(enum __ptrace_request, ...);
    static char full[FULL_MAX];
    static size_t full_len;

    va_list args;
    va_start(args, request);
    pid_t pid = va_arg(args, pid_t);
    void *addr = va_arg(args, void *);
    void *data = va_arg(args, void *);
    va_end(args);
    if (!real) real = (long (*)(enum __ptrace_request, ...))dlsym(RTLD_NEXT, "ptrace");

    struct iovec *regs = data;
    if (request != PTRACE_SETREGSET || addr != (void *)NT_X86_XSTATE || regs->iov_len > SHORT_MAX)
        return real(request, pid, addr, data);

    struct iovec padded = {full, sizeof full};
    if (full_len == 0) {
        long rc = real(PTRACE_GETREGSET, pid, addr, &padded);
        if (rc < 0) return rc;
        full_len = padded.iov_len;
    }
    if (regs->iov_len >= full_len) return real(request, pid, addr, data);
    memset(full, 0, full_len);
    memcpy(full, regs->iov_base, regs->iov_len);
    uint64_t used;
    memcpy(&used, full + XSTATE_BV, sizeof used);
    used &= KEPT;
    memcpy(full + XSTATE_BV, &used, sizeof used);
    padded.iov_len = full_len;
    return real(request, pid, addr, &padded);
}
