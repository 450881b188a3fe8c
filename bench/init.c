// The first program of the guest: configures the network interface and executes the server.
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void set(int fd, unsigned long request, struct ifreq *card, const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, text, &address.sin_addr);
    memcpy(&card->ifr_addr, &address, sizeof address);
    if (ioctl(fd, request, card) < 0) perror(text);
}

int main(void) {
    struct ifreq card = {.ifr_name = "vec0"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    set(fd, SIOCSIFADDR, &card, "192.0.2.2");
    set(fd, SIOCSIFNETMASK, &card, "255.255.255.252");
    card.ifr_flags = IFF_UP;
    if (ioctl(fd, SIOCSIFFLAGS, &card) < 0) perror("vec0");
    close(fd);
    if (mkdir("/proc", 0755) < 0 || mount("proc", "/proc", "proc", 0, 0) < 0) perror("/proc");
    execl("/loopline", "loopline", "serve", "message=0.0.0.0:9999", "month=0.0.0.0:8091", (char *)0);
    perror("/loopline");
    return 1;
}
