/* version.h - the version of the program, and what -V says. */
#ifndef STS_VERSION_H
#define STS_VERSION_H

#define STS_VERSION "0.1.0"

#if STS_SEED
#define STS_VERSION_SEED ", STS/1"
#else
#define STS_VERSION_SEED ""
#endif
#if STS_RESOLVER
#define STS_VERSION_RESOLVER ", host names"
#else
#define STS_VERSION_RESOLVER ""
#endif
#if STS_SANDBOX
#define STS_VERSION_SANDBOX ", sandbox"
#else
#define STS_VERSION_SANDBOX ""
#endif

static const char version_text[] =
    "sts " STS_VERSION
    " (MQTT 3.1 and 3.1.1" STS_VERSION_SEED STS_VERSION_RESOLVER STS_VERSION_SANDBOX ")\n";

#endif
