/* What the kernel permits without batching: one thread, one epoll, one send() for each delivery, and nothing else.
 *
 * Rooms are lists of sockets; a message is encoded once and sent to each in turn. No tokens, no limits, no history. A
 * member whose socket takes no more is closed. It answers the one handshake key that the load clients use.
 *
 * Compile it with `gcc -O2`, and run it with the port as its argument.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 65536
#define EVENTS 512
#define NAME 64
#define CHUNK (1 << 18)

static const char ACCEPTED[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct room {
    char name[NAME];
    int *fds;
    size_t count, capacity;
    struct room *next;
};

struct client {
    int open;   /* the handshake is over */
    char *rest; /* the beginning of a frame that has not wholly arrived */
    size_t length;
};

static struct room *rooms[BUCKETS];
static struct client *clients;
static int poller;
static unsigned long long offset_;

static struct room *room_of(const char *name, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)name[i]) * 16777619u;
    struct room **slot = &rooms[hash % BUCKETS];
    for (struct room *room = *slot; room; room = room->next)
        if (strlen(room->name) == length && !memcmp(room->name, name, length)) return room;
    struct room *room = calloc(1, sizeof *room);
    memcpy(room->name, name, length);
    room->next = *slot;
    return *slot = room;
}

static void enter(struct room *room, int fd) {
    if (room->count == room->capacity) {
        room->capacity = room->capacity ? room->capacity * 2 : 8;
        room->fds = realloc(room->fds, room->capacity * sizeof *room->fds);
    }
    room->fds[room->count++] = fd;
}

static void drop(int fd) {
    for (size_t bucket = 0; bucket < BUCKETS; bucket++)
        for (struct room *room = rooms[bucket]; room; room = room->next)
            for (size_t i = 0; i < room->count; i++)
                if (room->fds[i] == fd) room->fds[i--] = room->fds[--room->count];
    free(clients[fd].rest);
    memset(&clients[fd], 0, sizeof clients[fd]);
    close(fd);
}

/* Write the header of a text frame before the payload, which starts at frame + 4; return where the frame starts. */
static char *header(char *frame, size_t length, size_t *whole) {
    if (length < 126) {
        frame[2] = (char)0x81;
        frame[3] = (char)length;
        *whole = length + 2;
        return frame + 2;
    }
    frame[0] = (char)0x81;
    frame[1] = 126;
    frame[2] = (char)(length >> 8);
    frame[3] = (char)length;
    *whole = length + 4;
    return frame;
}

static const char *field(const char *json, const char *name, size_t *length) {
    const char *start = strstr(json, name);
    if (!start) return NULL;
    start += strlen(name);
    const char *end = strchr(start, '"');
    *length = end ? (size_t)(end - start) : 0;
    return end ? start : NULL;
}

static void broadcast(struct room *room, const char *content, size_t length) {
    static char frame[70000];
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", gmtime(&now.tv_sec));
    unsigned long long number = ++offset_;
    size_t size = (size_t)snprintf(
        frame + 4, sizeof frame - 4,
        "{\"type\":\"message\",\"room_id\":\"%s\",\"user_id\":\"u0\",\"content\":\"%.*s\",\"channel\":\"room:%s\","
        "\"id\":\"00000000-0000-7000-8000-%012llx\",\"offset\":%llu,\"timestamp\":\"%s.%03ldZ\"}",
        room->name, (int)length, content, room->name, number, number, stamp, now.tv_nsec / 1000000);
    size_t whole;
    char *start = header(frame, size, &whole);
    for (size_t i = 0; i < room->count; i++)
        if (send(room->fds[i], start, whole, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)whole)
            shutdown(room->fds[i], SHUT_RDWR); /* its own event closes it */
}

static void command(int fd, const char *json) {
    size_t name_length, length;
    const char *name = field(json, "\"room_id\":\"", &name_length);
    if (!name || name_length >= NAME) return;
    struct room *room = room_of(name, name_length);
    if (strstr(json, "\"type\":\"join_room\"")) {
        enter(room, fd);
        char frame[256];
        size_t whole, size = (size_t)snprintf(frame + 4, sizeof frame - 4,
                                              "{\"type\":\"joined\",\"room_id\":\"%s\",\"active_users\":%zu}",
                                              room->name, room->count);
        char *start = header(frame, size, &whole);
        if (send(fd, start, whole, MSG_NOSIGNAL) < 0) return;
    } else {
        const char *content = field(json, "\"content\":\"", &length);
        if (content) broadcast(room, content, length);
    }
}

/* Carry out the whole frames of a chunk; return how many bytes they were, or -1 for a goodbye. */
static ssize_t frames(int fd, unsigned char *data, size_t size) {
    size_t at = 0;
    static char json[70000];
    while (size - at >= 6) {
        unsigned char *frame = data + at;
        size_t length = frame[1] & 127, head = 6;
        if (length == 126) {
            if (size - at < 8) break;
            length = (size_t)frame[2] << 8 | frame[3];
            head = 8;
        } else if (length == 127) {
            return -1;
        }
        if (size - at < head + length) break;
        if ((frame[0] & 15) == 8) return -1;
        unsigned char *mask = frame + head - 4;
        for (size_t i = 0; i < length; i++) json[i] = (char)(frame[head + i] ^ mask[i & 3]);
        json[length] = 0;
        if ((frame[0] & 15) == 1) command(fd, json);
        at += head + length;
    }
    return (ssize_t)at;
}

static void receive(int fd) {
    static unsigned char data[CHUNK];
    struct client *client = &clients[fd];
    size_t before = client->length;
    memcpy(data, client->rest, before);
    ssize_t got = recv(fd, data + before, CHUNK - before - 1, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return drop(fd);
    size_t size = before + (size_t)got;
    ssize_t used = 0;
    if (client->open) {
        used = frames(fd, data, size);
    } else {
        data[size] = 0;
        char *end = strstr((char *)data, "\r\n\r\n");
        if (end) {
            client->open = 1;
            used = end + 4 - (char *)data;
            static const char welcome[] = "\x81\x12{\"type\":\"welcome\"}";
            if (send(fd, ACCEPTED, sizeof ACCEPTED - 1, MSG_NOSIGNAL) < 0 ||
                send(fd, welcome, sizeof welcome - 1, MSG_NOSIGNAL) < 0)
                return drop(fd);
        }
    }
    if (used < 0) return drop(fd);
    client->length = size - (size_t)used;
    client->rest = client->length ? realloc(client->rest, client->length) : (free(client->rest), NULL);
    memcpy(client->rest, data + used, client->length);
}

int main(int count, char **arguments) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(count > 1 ? arguments[1] : "0"))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return perror("listen"), 1;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    clients = calloc(files.rlim_cur, sizeof *clients);
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int number = epoll_wait(poller, ready, EVENTS, -1);
        for (int i = 0; i < number; i++) {
            if (ready[i].data.fd != listener) {
                receive(ready[i].data.fd);
                continue;
            }
            int fd = accept(listener, NULL, NULL);
            if (fd < 0) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            struct epoll_event arrival = {.events = EPOLLIN, .data.fd = fd};
            epoll_ctl(poller, EPOLL_CTL_ADD, fd, &arrival);
        }
    }
}
