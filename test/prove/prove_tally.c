/* prove_tally - the counts of a session: every call in every state, by any count. */
#include "prove.h"
#include "tally.h"

void main(void)
{
    struct tally tally;

    any_bytes(&tally, sizeof tally);
    tally.peer_killed = any_bool();
    tally_written(&tally, any_u64());
    (void)tally_kill_due(&tally);
    (void)tally_agrees(&tally);
    (void)tally_delivered(&tally);
    tally_begin(&tally);
}
