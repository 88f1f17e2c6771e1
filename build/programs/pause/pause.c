/*
 * pause is the first process of every pod: it holds the pod's namespaces, collects orphans when it is PID 1 of a shared
 * process namespace, and ends with status 0 on SIGTERM or SIGINT.
 *
 * It is written against bare system calls so that it needs no libc. Signals are blocked and waited for, never handled: a
 * blocked signal reaches PID 1 too, where an unhandled one would be dropped by the kernel.
 */

#if defined(__x86_64__)
#define SYS_wait4 61
#define SYS_exit_group 231
#define SYS_rt_sigprocmask 14
#define SYS_rt_sigtimedwait 128

static long call4(long n, long a, long b, long c, long d)
{
	long result;
	register long r10 __asm__("r10") = d;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
#define SYS_wait4 260
#define SYS_exit_group 94
#define SYS_rt_sigprocmask 135
#define SYS_rt_sigtimedwait 137

static long call4(long n, long a, long b, long c, long d)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return x0;
}
#else
#error "pause: unknown architecture"
#endif

#define SIGINT 2
#define SIGTERM 15
#define SIGCHLD 17
#define SIG_BLOCK 0
#define WNOHANG 1
#define EINTR 4

#define BIT(sig) (1UL << ((sig) - 1))

__attribute__((noreturn)) static void leave(long status)
{
	for (;;)
		call4(SYS_exit_group, status, 0, 0, 0);
}

__attribute__((noreturn)) void _start(void)
{
	unsigned long set = BIT(SIGINT) | BIT(SIGTERM) | BIT(SIGCHLD);
	long sig;

	if (call4(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, 0, sizeof(set)) < 0)
		leave(1);
	for (;;) {
		sig = call4(SYS_rt_sigtimedwait, (long)&set, 0, 0, sizeof(set));
		if (sig == SIGINT || sig == SIGTERM)
			leave(0);
		if (sig < 0 && sig != -EINTR)
			leave(1);
		while (call4(SYS_wait4, -1, 0, WNOHANG, 0) > 0)
			;
	}
}
