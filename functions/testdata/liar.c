/* liar: a module whose exports answer what the macros say: LIE_ALLOC,
 * LIE_MANIFEST, LIE_STATE, LIE_INIT. */
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
__attribute__((import_module("millrace"), import_name("log"))) void say(uint32_t level, const char *text, uint32_t len);

#ifndef LIE_MANIFEST
#define LIE_MANIFEST "{\"name\":\"liar\",\"version\":\"1\",\"out\":[{\"name\":\"x\",\"type\":\"f64\"}],\"params\":[{\"name\":\"p\",\"default\":1,\"min\":0,\"max\":2}]}"
#endif
#ifndef LIE_ALLOC
#define LIE_ALLOC (top += (n + 7) & ~7u, top - ((n + 7) & ~7u))
#endif
#ifndef LIE_STATE
#define LIE_STATE 16
#endif
#ifndef LIE_INIT
#define LIE_INIT 0
#endif

static uint32_t top = 65536, calls;
static char room[1 << 20];

EXPORT("mr1_alloc") uint32_t alloc(uint32_t n) {
	calls++, (void)n;
	if (top == 65536) top = (uint32_t)(uintptr_t)room + 8 & ~7u;
	return LIE_ALLOC;
}
const char *const manifest = LIE_MANIFEST;
#ifndef LIE_DESCRIBE
#define LIE_DESCRIBE ((uint64_t)(uintptr_t)manifest << 32 | (sizeof LIE_MANIFEST - 1))
#endif
EXPORT("mr1_describe") uint64_t describe(void) { return LIE_DESCRIBE; }
EXPORT("mr1_state") uint32_t state(void) { return LIE_STATE; }
EXPORT("mr1_init") int32_t init(void *frame) { (void)frame; return LIE_INIT; }
EXPORT("mr1_frame") int32_t frame(void *frame) { (void)frame; return 0; }
