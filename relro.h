/* relro.h - makes read-only what only relocation had to write (RELRO): pointers in tables, the
 * global offset table. A loader does that for a program that has one; a static PIE has none, and
 * musl's start code relocates it and leaves it writable. */
#ifndef STS_RELRO_H
#define STS_RELRO_H

/* Once, first of all. A kernel that refuses leaves things as they were. */
void relro_protect(void);

#endif
