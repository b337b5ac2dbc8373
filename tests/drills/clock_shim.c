/*
 * Clocks of a drill: sets the wall clock of a process back or forth, or lets an hour of all its clocks pass in a minute.
 *
 * Preloaded (LD_PRELOAD) into servers and workers. The file that CLOCK_SHIM_FILE names holds a struct clock, which may
 * be changed at any time, and which processes may share. Without that file everything is as it is.
 *
 * A wall clock that is set back or forth leaves the steady ones alone. A faster clock is faster for all of them, and
 * whoever waits by it waits so much shorter. Beside that, connections to one port are counted, whatever becomes of them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

struct clock {
    volatile int64_t version;  /* odd while the next three are changed */
    volatile int64_t rate;     /* how fast the clocks go */
    volatile int64_t gained;   /* how far they were ahead in nanoseconds ... */
    volatile int64_t since;    /* ... at this moment of the machine's steady clock */
    volatile int64_t step;     /* how far the wall clock is off, in nanoseconds */
    volatile int64_t port;     /* connections to it are counted ... */
    volatile int64_t connects; /* ... here */
};

static struct clock as_it_is = {.rate = 1};
static struct clock *ours = &as_it_is;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_SHIM_FILE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *page = mmap(NULL, sizeof(struct clock), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page != MAP_FAILED)
        ours = page;
    close(file);
}

/* What is under a name of ours, in the version that programs of today use. */
static void *plain(const char *name, const char *version)
{
    void *found = version ? dlvsym(RTLD_NEXT, name, version) : NULL;
    return found ? found : dlsym(RTLD_NEXT, name);
}

#define PLAIN(name, version) \
    static __typeof__(&name) under; \
    if (!under) \
    under = (__typeof__(&name))plain(#name, version)

static int64_t true_ns(clockid_t clock)
{
    PLAIN(clock_gettime, NULL);
    struct timespec when;
    under(clock, &when);
    return when.tv_sec * SECOND + when.tv_nsec;
}

/* How far the clocks are ahead of the machine's; how fast they go. */
static int64_t ahead(int64_t *rate)
{
    int64_t version, found;
    do {
        version = ours->version;
        __sync_synchronize();
        *rate = ours->rate;
        found = ours->gained + (true_ns(CLOCK_MONOTONIC) - ours->since) * (*rate - 1);
        __sync_synchronize();
    } while (version & 1 || version != ours->version);
    return *rate == 1 ? ours->gained : found;
}

/* For who says how fast the clocks go: from now on, each from where it is. */
void run_clocks(int64_t rate)
{
    int64_t gone = true_ns(CLOCK_MONOTONIC) - ours->since;
    int64_t gained = ours->gained + gone * (ours->rate - 1);
    __sync_fetch_and_add(&ours->version, 1);
    ours->gained = gained;
    ours->since += gone;
    ours->rate = rate;
    __sync_fetch_and_add(&ours->version, 1);
}

static struct timespec spec(int64_t ns)
{
    if (ns < 0)
        ns = 0;
    return (struct timespec){.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
}

static int64_t ns_of(const struct timespec *when)
{
    return when->tv_sec * SECOND + when->tv_nsec;
}

/* How far a clock of ours is from the machine's clock of that name. */
static int64_t off(clockid_t clock, int64_t *rate)
{
    *rate = 1;
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
        return ahead(rate) + ours->step;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_BOOTTIME:
        return ahead(rate);
    default:
        return 0;
    }
}

/* A moment of ours as one of the machine's. */
static struct timespec moment(clockid_t clock, const struct timespec *when)
{
    int64_t rate, behind = off(clock, &rate), now = true_ns(clock);
    return spec(now + (ns_of(when) - behind - now) / rate);
}

static int shorter_ms(int ms)
{
    int64_t rate;
    ahead(&rate);
    return ms <= 0 ? ms : (int)((ms + rate - 1) / rate);
}

int clock_gettime(clockid_t clock, struct timespec *when)
{
    PLAIN(clock_gettime, NULL);
    int failed = under(clock, when);
    int64_t rate, by = failed ? 0 : off(clock, &rate);
    if (by)
        *when = spec(ns_of(when) + by);
    return failed;
}

int gettimeofday(struct timeval *restrict when, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    when->tv_sec = exact.tv_sec;
    when->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *when)
{
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return (time_t)-1;
    if (when)
        *when = exact.tv_sec;
    return exact.tv_sec;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wish, struct timespec *rest)
{
    PLAIN(clock_nanosleep, NULL);
    int64_t rate;
    ahead(&rate);
    struct timespec real = flags & TIMER_ABSTIME ? moment(clock, wish) : spec(ns_of(wish) / rate);
    return under(clock, flags, &real, rest);
}

int nanosleep(const struct timespec *wish, struct timespec *rest)
{
    int failed = clock_nanosleep(CLOCK_MONOTONIC, 0, wish, rest);
    if (!failed)
        return 0;
    errno = failed;
    return -1;
}

int poll(struct pollfd *files, nfds_t number, int ms)
{
    PLAIN(poll, NULL);
    return under(files, number, shorter_ms(ms));
}

int epoll_wait(int file, struct epoll_event *events, int most, int ms)
{
    PLAIN(epoll_wait, NULL);
    return under(file, events, most, shorter_ms(ms));
}

int select(int number, fd_set *restrict reads, fd_set *restrict writes, fd_set *restrict others,
           struct timeval *restrict wait)
{
    PLAIN(select, NULL);
    int64_t rate;
    ahead(&rate);
    if (!wait || rate == 1)
        return under(number, reads, writes, others, wait);
    int64_t us = (wait->tv_sec * 1000000LL + wait->tv_usec) / rate;
    struct timeval real = {.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    return under(number, reads, writes, others, &real);
}

int sem_clockwait(sem_t *restrict lock, clockid_t clock, const struct timespec *restrict until)
{
    PLAIN(sem_clockwait, NULL);
    struct timespec real = moment(clock, until);
    return under(lock, clock, &real);
}

int sem_timedwait(sem_t *restrict lock, const struct timespec *restrict until)
{
    PLAIN(sem_timedwait, NULL);
    struct timespec real = moment(CLOCK_REALTIME, until);
    return under(lock, &real);
}

/* Python's, whose conditions go by the steady clock. */
int pthread_cond_timedwait(pthread_cond_t *restrict what, pthread_mutex_t *restrict lock,
                           const struct timespec *restrict until)
{
    PLAIN(pthread_cond_timedwait, "GLIBC_2.3.2");
    struct timespec real = moment(CLOCK_MONOTONIC, until);
    return under(what, lock, &real);
}

int connect(int file, const struct sockaddr *to, socklen_t size)
{
    PLAIN(connect, NULL);
    if (ours->port && to->sa_family == AF_INET && ntohs(((const struct sockaddr_in *)to)->sin_port) == ours->port)
        __sync_fetch_and_add(&ours->connects, 1);
    return under(file, to, size);
}
