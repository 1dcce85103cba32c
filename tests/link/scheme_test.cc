#include "airlock/link/scheme.h"

#include <set>

#include <gtest/gtest.h>

#include "tests/link/link_support.h"

namespace airlock::scheme_test {
namespace {

TEST(LinkSchemes, EveryKindHasOneRow) {
  std::set<std::string_view> names;
  std::set<Transport> transports;
  for (const LinkScheme& scheme : link_schemes()) {
    SCOPED_TRACE(scheme.name);
    EXPECT_TRUE(names.insert(scheme.name).second);
    EXPECT_TRUE(transports.insert(scheme.transport).second);
    EXPECT_EQ(&scheme_of(scheme.transport), &scheme);
    EXPECT_EQ(transport_name(scheme.transport), scheme.name);
    EXPECT_TRUE(scheme.form.starts_with(std::string(scheme.name) + ":"));
    EXPECT_EQ(scheme.connect == nullptr, scheme.listen == nullptr);
  }
  expect_error(ErrorCode::kInternal, "77", [] { (void)scheme_of(static_cast<Transport>(77)); });
}

TEST(LinkSchemes, AreListedForMessages) {
  const auto paths = [](const LinkScheme& scheme) { return &scheme.address == &kPathSyntax; };
  EXPECT_EQ(list_schemes(&LinkScheme::name, paths), "unix or shm");
  EXPECT_EQ(list_schemes(&LinkScheme::form, [](const LinkScheme&) { return true; }),
            "inproc:NAME, unix:///PATH, shm:///PATH, tcp://HOST:PORT or tls://HOST:PORT");
}

TEST(LinkSchemes, TheirTraitsDoNotContradictEachOther) {
  for (const LinkScheme& scheme : link_schemes()) {
    SCOPED_TRACE(scheme.name);
    const LinkTraits& traits = scheme.traits;
    EXPECT_TRUE(!traits.same_process || traits.same_machine);
    EXPECT_TRUE(!traits.shares_memory || (traits.same_machine && !traits.same_process));
    EXPECT_FALSE(traits.slow_memory) << "only a shaped link's is";
    EXPECT_TRUE(!traits.same_process || scheme.pair == nullptr) << "no child is in this process";
  }
}

TEST(LinkSchemes, TheContractSuiteHasEveryKindThatIsBuiltIn) {
  std::set<Transport> tested;
  for (const LinkKind& kind : link_kinds()) tested.insert(kind.make().first->transport());
  for (const LinkScheme& scheme : link_schemes()) {
    EXPECT_EQ(tested.contains(scheme.transport), scheme.connect != nullptr) << scheme.name;
  }
}

}  // namespace
}  // namespace airlock::scheme_test
