#include "gateway/structured/string_formats.h"

#include <utility>

namespace quire::gateway {
namespace {

// In few states, and short: most limits of a length hold by themselves. Of a year from 1000 on; 29 February
// where the year is a leap year.
#define QUIRE_DATE                                                                                    \
  "(?:[1-9]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)" \
  "|02-(?:0[1-9]|1\\d|2[0-8]))"                                                                       \
  "|(?:[1-9]\\d(?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)"
#define QUIRE_TIME "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?(?:Z|[+\\-](?:0\\d|1[0-3]):[0-5]\\d)"
#define QUIRE_OCTET "(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)"
#define QUIRE_HOST "[a-z0-9]{1,16}(?:-[a-z0-9]{1,8})?(?:\\.[a-z]{2,8}){1,2}"

constexpr std::pair<std::string_view, std::string_view> kPatterns[] = {
    {"date", "^" QUIRE_DATE "$"},
    {"time", "^" QUIRE_TIME "$"},
    {"date-time", "^" QUIRE_DATE "T" QUIRE_TIME "$"},
    {"duration",
     "^P(?:\\d{1,4}W|(?:\\d{1,4}Y(?:\\d{1,3}M(?:\\d{1,3}D)?)?|\\d{1,4}M(?:\\d{1,3}D)?|\\d{1,4}D)"
     "(?:T(?:\\d{1,3}H(?:\\d{1,3}M(?:\\d{1,3}S)?)?|\\d{1,3}M(?:\\d{1,3}S)?|\\d{1,3}S))?"
     "|T(?:\\d{1,3}H(?:\\d{1,3}M(?:\\d{1,3}S)?)?|\\d{1,3}M(?:\\d{1,3}S)?|\\d{1,3}S))$"},
    {"email", "^[A-Za-z0-9_+\\-]{1,20}(?:\\.[A-Za-z0-9]{1,10})?@" QUIRE_HOST "$"},
    {"hostname", "^" QUIRE_HOST "$"},
    {"ipv4", "^(?:" QUIRE_OCTET "\\.){3}" QUIRE_OCTET "$"},
    {"ipv6",
     "^(?:(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}|::1|::|[0-9a-f]{1,4}::[0-9a-f]{1,4}"
     "|(?:[0-9a-f]{1,4}:){2}:(?:[0-9a-f]{1,4}:){0,3}[0-9a-f]{1,4})$"},
    {"uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
    {"uri", "^https?://" QUIRE_HOST "(?:/[A-Za-z0-9._~/\\-]{0,120})?(?:\\?[A-Za-z0-9._~=&\\-]{1,60})?"
            "(?:#[A-Za-z0-9._~\\-]{1,20})?$"},
};

#undef QUIRE_DATE
#undef QUIRE_TIME
#undef QUIRE_OCTET
#undef QUIRE_HOST

}  // namespace

std::optional<std::string_view> PatternOfFormat(std::string_view format) {
  for (const auto& [name, pattern] : kPatterns) {
    if (name == format) return pattern;
  }
  return std::nullopt;
}

}  // namespace quire::gateway
