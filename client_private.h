/* client_private.h - what the files of the client share; nobody else includes it.
 *   client.c          states, timers, events
 *   client_connect.c  from a host name to a connected socket and CONNECT
 *   client_rx.c       bytes from the broker: packets, QoS of what is received, oversize packets
 *   client_tx.c       bytes to the broker: the queues, and writing them
 *   client_ring.c     the ring of PUBLISH packets: QoS of what is sent */
#ifndef STS_CLIENT_PRIVATE_H
#define STS_CLIENT_PRIVATE_H

#include "client.h"

#define CLIENT_NEVER UINT64_MAX

/* Notes a fault; the first one counts. client_next turns it into an event. */
void client_fault(struct client *c, enum client_err err, int detail, int packet);

uint64_t client_timeout_ms(const struct client *c);

/* ---- client_connect.c ---- */

/* The states RESOLVING and CONNECTING: goes on where poll answered or time is up. */
void client_next_resolving(struct client *c, uint64_t now_ms);
void client_next_connecting(struct client *c, uint64_t now_ms);
void client_close_socket(struct client *c);

/* ---- client_rx.c ---- */

/* Reads once from the socket into rx. Whether anything came. */
bool client_rx_read(struct client *c, uint64_t now_ms);
/* Whether rx can take more. */
bool client_rx_room(const struct client *c);
/* Takes packets out of rx until one is worth an event, or there is none left. */
void client_rx_next(struct client *c, struct client_event *event, uint64_t now_ms);
/* Forgets what belonged to the connection that went. */
void client_rx_reset(struct client *c);
/* The broker has no session: every QoS 2 id is new. */
void client_rx_forget_ids(struct client *c);

/* ---- client_ring.c ---- */

static inline struct client_flight *client_flight_at(struct client *c, uint32_t counter)
{
    return &c->flights[counter % CLIENT_FLIGHTS_MAX];
}

static inline const struct client_flight *client_flight_look(const struct client *c,
                                                             uint32_t counter)
{
    return &c->flights[counter % CLIENT_FLIGHTS_MAX];
}

/* A packet id that nothing in flight uses. */
uint16_t client_ring_packet_id(struct client *c);
/* `n` more bytes of the flight that is next are written. */
void client_ring_written(struct client *c, size_t n);
/* An acknowledgement of what we sent came in. False: it fits nothing that is in flight. */
bool client_ring_acked(struct client *c, enum mqtt_type type, uint16_t packet_id, uint64_t now_ms);
/* After CONNACK of a later connection: goes on with QoS 2 flows that the broker still knows, and
 * begins those anew that it does not. */
void client_ring_resume(struct client *c, bool session_present);

/* ---- client_tx.c ---- */

void client_tx_connect(struct client *c);
void client_tx_subscribe(struct client *c);
/* Appends PUBACK, PUBREC or PUBCOMP, held until client_release; there is room: see
 * client_tx_acks_room. Or PUBREL (section 3.6), which is not held. */
void client_tx_ack(struct client *c, enum mqtt_type type, uint16_t packet_id);
bool client_tx_acks_room(const struct client *c);
/* PINGRESP came. */
void client_tx_pong(struct client *c);
/* Acknowledgements that the caller holds back leave no room for another one. */
bool client_tx_acks_held(const struct client *c);
/* Whether anything waits that may leave now. */
bool client_tx_pending(const struct client *c);
void client_tx_write(struct client *c, uint64_t now_ms);
/* Puts DISCONNECT behind all that may leave, and drops the acknowledgements that may not. */
void client_tx_goodbye(struct client *c);
/* Forgets what belonged to the connection that went; what was in flight is queued again. */
void client_tx_reset(struct client *c);

#endif
