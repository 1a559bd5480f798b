/* relro.c - see relro.h. */
#include "relro.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/mman.h>

/* From the linker: where the program begins in memory. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

void relro_protect(void)
{
    char *base = (char *)&__ehdr_start; /* the kernel puts it at the start of a page */
    const size_t page_mask = ~((size_t)getauxval(AT_PAGESZ) - 1);
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(base + __ehdr_start.e_phoff);

    for (size_t i = 0; i < __ehdr_start.e_phnum; i++, segment++) {
        if (segment->p_type != PT_GNU_RELRO)
            continue;
        /* A page that it shares with data behind it stays writable. */
        const size_t start = segment->p_vaddr & page_mask;
        const size_t end = (segment->p_vaddr + segment->p_memsz) & page_mask;
        (void)mprotect(base + start, end - start, PROT_READ);
    }
}
