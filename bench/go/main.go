// The reference server in Go, `go-server [PORT]`, in its usual style: a goroutine and a buffer for each connection, one
// write for all frames of a read. No journal, no limits, no deadlines. (Go sets TCP_NODELAY, and the largest backlog
// allowed.)
package main

import (
	"bytes"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
)

const headerBytes = 64

var acknowledgement = []byte(fmt.Sprintf("%-64dMessage received successfully....", 33))

func main() {
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go talk(connection)
	}
}

func talk(connection net.Conn) {
	defer connection.Close()
	unread := make([]byte, 4096)
	held := 0
	var out []byte
	for {
		if held == len(unread) {
			unread = append(unread, make([]byte, len(unread))...)
		}
		got, err := connection.Read(unread[held:])
		if err != nil {
			return
		}
		held += got
		var consumed int
		var ended bool
		out, consumed, ended, err = answer(unread[:held], out[:0])
		if err != nil {
			return
		}
		if _, err := connection.Write(out); err != nil || ended {
			return
		}
		copy(unread, unread[consumed:held])
		held -= consumed
	}
}

// answer replies to all whole frames at the beginning of unread, and returns their bytes and whether the stream has
// ended.
func answer(unread, out []byte) ([]byte, int, bool, error) {
	consumed := 0
	for len(unread)-consumed >= headerBytes {
		header := unread[consumed : consumed+headerBytes]
		length, digits := 0, 0
		for digits < 9 && header[digits] >= '0' && header[digits] <= '9' {
			length = 10*length + int(header[digits]-'0')
			digits++
		}
		if digits == 0 {
			return out, consumed, false, errors.New("bad header")
		}
		end := consumed + headerBytes + length
		if end > len(unread) {
			break
		}
		body := unread[consumed+headerBytes : end]
		consumed = end
		out = append(out, acknowledgement...)
		if bytes.Equal(body, []byte("Disconnect !")) {
			return out, consumed, true, nil
		}
	}
	return out, consumed, false, nil
}
