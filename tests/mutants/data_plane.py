"""The mutations of the data plane: what may come out of a tunnel, what is told to whom, and what goes in first. Data.

All of them are tried on the real kernel, so they need root.
"""

from tests.mutants.mutation import Mutation

CHECK, ROUTER = "tests/dataplane/test_source_check.py::", "tests/dataplane/test_router.py::"
RELAY, CHANGES = (f"tests/dataplane/test_{name}.py::" for name in ("relay", "changes"))
WATCH, BURSTS = (f"tests/dataplane/test_{name}.py::" for name in ("watch", "bursts"))
CONTRACT = "tests/contract/test_data_plane.py::"
END = "tests/dataplane/test_tunnel_end.py::"
SELF_TEST = "tests/topology/test_self_test.py::"


def _mutation(name: str, file: str, before: str, after: str, test: str) -> Mutation:
    return Mutation(name, f"dataplane/{file}.py", before, after, (test,), needs_root=True)


_ENTER = """        refused = self._check.enter({home: one.enter for home, one in steps.items() if one.enter})
"""
_ENTER_FIRST = f"""{_ENTER}        for home_address in refused:
            self._return_slot(home_address, steps.pop(home_address))
        return results | refused | self._carry_out(steps)
"""
_ENTER_LAST = f"""        done = self._carry_out(steps)
{_ENTER}        return results | done | refused
"""
_PUT = "        put = self._netlink.execute_each({home: one.puts for home, one in steps.items()})\n"
_TAKE = (
    "        taken = self._netlink.execute_each({home: one.takes for home, one in steps.items() if home not in put})\n"
)
_TAKE_FIRST = f"        put: dict = {{}}\n{_TAKE}{_PUT}"
_DROPPED = "        drop\n    }}\n    chain signalling {{\n"

MUTATIONS = (
    _mutation(
        "a customer whose check was refused goes in all the same",
        "linux",
        _ENTER_FIRST,
        _ENTER_LAST,
        CHECK + "test_a_customer_whose_check_the_kernel_refuses_gets_no_tunnel",
    ),
    _mutation(
        "the check goes with its route",
        "port",
        "CHECK_LINGER_S = 2.0",
        "CHECK_LINGER_S = 0.0",
        CHECK + "test_packets_under_way_pass_until_the_linger_is_over",
    ),
    _mutation(
        "a line that comes back loses its check",
        "filter",
        "                    leaving.pop(element, None)\n",
        "                    pass\n",
        CHECK + "test_a_line_that_comes_back_within_the_linger_stays",
    ),
    _mutation(
        "what was not believed passes",
        "ruleset",
        _DROPPED,
        _DROPPED.replace("drop", "accept"),
        CHECK + "test_what_is_not_believed_is_not_answered",
    ),
    _mutation(
        "tunnels end at any address",
        "ruleset",
        "        ip6 daddr != {{ {address}, {ends} }} meta l4proto {{ 4, 41 }} counter name elsewhere drop\n",
        "",
        CHECK + "test_no_address_but_the_home_agents_ends_a_tunnel",
    ),
    _mutation(
        "pieces that say nothing are put together",
        "ruleset",
        "        ip6 daddr != {{ {address}, {ends} }} meta l4proto {{ 4, 41 }} counter name elsewhere drop\n"
        "        exthdr frag exists goto pieces\n",
        "        ip6 daddr != {{ {address}, {ends} }} meta l4proto {{ 4, 41 }} counter name elsewhere drop\n",
        CHECK + "test_a_piece_that_does_not_say_of_what_is_dropped_where_nothing_puts_pieces_together",
    ),
    _mutation(
        "other protocols go to the local stack",
        "ruleset",
        "ip6 nexthdr != 60 meta l4proto != {{ 58, 59 }} counter name tunnel_payload drop",
        "ip6 nexthdr != 60 meta l4proto != {{ 58, 59 }} counter name tunnel_payload",
        CHECK + "test_the_home_agent_address_takes_no_other_protocol",
    ),
    _mutation(
        "out of a tunnel to the operator's own",
        "ruleset",
        "@nh,512,128 @closed6 counter name inner_destination drop; ",
        "",
        CHECK + "test_nothing_out_of_a_tunnel_goes_to_the_operators_own",
    ),
    _mutation(
        "of the operator's own only what is not global unicast is closed",
        "ruleset",
        "            for (at, bits), some in heads.items()\n",
        "            for (at, bits), some in heads.items() if not at\n",
        CHECK + "test_nothing_out_of_a_tunnel_goes_to_the_operators_own",
    ),
    _mutation(
        "a closed network wider than global unicast is passed by",
        "ruleset",
        "        if not end:\n",
        "        if False:\n",
        CHECK + "test_closed_networks_of_any_length_are_closed",
    ),
    _mutation(
        "anybody may send to where tunnels end",
        "ruleset",
        "        ip6 daddr {{ {ends} }} counter name elsewhere drop\n        meta",
        "        meta",
        END + "test_nobody_else_sends_there",
    ),
    _mutation(
        "what nothing decapsulates leaves the machine",
        "ruleset",
        "        ip6 daddr {{ {ends} }} counter name elsewhere drop\n    }}",
        "    }}",
        END + "test_what_was_believed_and_is_not_decapsulated_goes_nowhere",
    ),
    Mutation(
        "a network card's sum is wrong behind the source check",
        "dataplane/tunnel_end.py",
        "(rest % 0xFFFF)",
        "(rest % 0xFFFE)",
        (END + "test_a_sum_over_the_packet_stays_right",),
    ),
    _mutation(
        "the rule for local addresses is taken from who moved it",
        "foundation",
        "    has_local = any(",
        "    has_local = False and any(",
        END + "test_who_has_a_rule_of_his_own_for_local_addresses_keeps_it",
    ),
    _mutation(
        "an earlier version's policy rules stay",
        "foundation",
        "*map(delete_rule, ours)]",
        "]",
        END + "test_what_an_earlier_version_left_goes",
    ),
    _mutation(
        "a device at a mobile router ends tunnels from anybody",
        "ruleset",
        "        meta l4proto {{ 4, 41 }} counter name elsewhere drop\n        exthdr frag exists goto pieces\n",
        "        exthdr frag exists goto pieces\n",
        ROUTER + "test_where_a_device_ends_every_tunnel_only_the_home_agent_may_send_through_one",
    ),
    _mutation(
        "a mobile router decapsulates for anybody",
        "router",
        "                _from(home_agent, DECAPSULATION_RULE, table)._replace(ip_protocol=inside)\n",
        "                Rule(DECAPSULATION_RULE, table, ROUTER_PROTOCOL, ip_protocol=inside)\n",
        ROUTER + "test_only_the_home_agent_is_decapsulated",
    ),
    _mutation(
        "any error is relayed",
        "relay",
        "        if not self._is_ours(error):\n",
        "        if False:\n",
        RELAY + "test_a_forged_error_must_name_a_tunnel_with_its_user_inside",
    ),
    _mutation(
        "errors name any user of a tunnel",
        "linux",
        "        return is_from_us and self._check.allows(error.exit, error.inner_destination)\n",
        "        return is_from_us\n",
        RELAY + "test_a_forged_error_must_name_a_tunnel_with_its_user_inside",
    ),
    _mutation(
        "one host hears of all errors",
        "relay",
        " or self._hosts[host] >= A_HOST",
        "",
        RELAY + "test_a_victim_hears_a_bounded_number_whatever_others_the_forged_errors_name",
    ),
    _mutation(
        "newcomers when the memory is used up",
        "linux",
        " if room is None else room - 1) <= 0:\n",
        " if room is None else room - 1) <= -(1 << 30):\n",
        "tests/dataplane/test_capacity.py",
    ),
    _mutation(
        "old objects go before new ones are there",
        "linux",
        _PUT + _TAKE,
        _TAKE_FIRST,
        CONTRACT + "test_random_changes_always_end_in_what_was_asked_last",
    ),
    _mutation(
        "half a customer stays after a refusal",
        "linux",
        "                    self._undo(home_address, one, messages, answers)\n",
        "",
        CONTRACT + "test_a_refused_customer_stays_as_it_was_and_the_others_go_in",
    ),
    _mutation(
        "the outer hop limit is the inner one's",
        "ruleset",
        "    chain sent6 {{ ip6 hoplimit set {hop_limit} ",
        "    chain sent6 {{ ",
        CHANGES + "test_the_outer_hop_limit_is_a_tunnels_own_in_both_directions",
    ),
    _mutation(
        "anybody reaches the self-test by its home address",
        "ruleset",
        "ip6 daddr {care_of} @nh,{source},128 != {host:#034x} counter name self_test drop",
        "ip6 daddr {care_of} @nh,{source},128 != {host:#034x} counter name self_test",
        SELF_TEST + "test_a_flood_for_the_tests_customer_is_kept_from_it",
    ),
    _mutation(
        "what is kept from the self-test counts as carried",
        "ruleset",
        "!= {host:#034x} counter name self_test drop",
        "!= {host:#034x} counter name tunnelled_out counter name self_test drop",
        SELF_TEST + "test_a_flood_for_the_tests_customer_is_kept_from_it",
    ),
    _mutation(
        "home addresses stand without the self-test's shield",
        "ruleset",
        "    line = plan.self_test if kind == HOME_ADDRESSES else None\n",
        "    line = None\n",
        CHECK + "test_home_addresses_never_stand_without_the_self_tests_shield",
    ),
    _mutation(
        "a way out that we put back ourselves is somebody else's doing",
        "linux",
        "KernelWatch((self._netlink.port, self._egresses.port)",
        "KernelWatch((self._netlink.port,)",
        "tests/dataplane/test_egress.py::test_a_way_out_is_looked_for_beside_a_dump",
    ),
    Mutation(
        "a repair leaves the self-test's device as it is",
        "ha/kernel.py",
        "            self._self_test.mend()\n",
        "            pass\n",
        (SELF_TEST + "test_what_others_take_from_us_is_seen_at_once_and_repaired",),
        needs_root=True,
    ),
    _mutation(
        "a filter that was taken away is not entered again",
        "linux",
        "        if anew & _OF_ELEMENTS:\n",
        "        if anew & _OF_OBJECTS:\n",
        WATCH + "test_what_others_take_away_is_noticed_and_comes_back",
    ),
    _mutation(
        "nexthops that were taken away are not looked at",
        "linux",
        "{Disturbance.ROUTES, Disturbance.NEXTHOPS, Disturbance.OVERRUN}",
        "{Disturbance.ROUTES, Disturbance.OVERRUN}",
        WATCH + "test_what_others_take_away_is_noticed_and_comes_back",
    ),
    _mutation(
        "all customers are read after any change",
        "linux",
        "self._learn(sound) if anew & _OF_OBJECTS else None",
        "self._learn(sound) if anew else None",
        WATCH + "test_what_others_take_away_is_noticed_and_comes_back",
    ),
    _mutation(
        "all elements are read after any change",
        "linux",
        "        if anew & _OF_ELEMENTS:\n",
        "        if anew:\n",
        WATCH + "test_what_others_take_away_is_noticed_and_comes_back",
    ),
    _mutation(
        "what could not be told left the routes as they were",
        "linux",
        "Disturbance.NEXTHOPS, Disturbance.OVERRUN}",
        "Disturbance.NEXTHOPS}",
        BURSTS + "test_changes_that_came_too_fast_to_be_heard_are_a_change_and_are_repaired",
    ),
    _mutation(
        "what could not be told left the filters as they were",
        "linux",
        "{Disturbance.FILTERS, Disturbance.OVERRUN}",
        "{Disturbance.FILTERS}",
        BURSTS + "test_changes_that_came_too_fast_to_be_heard_are_a_change_and_are_repaired",
    ),
    _mutation(
        "any default route is an egress",
        "watch",
        " and _NEXTHOP_ID not in attributes(body, _RTMSG_OCTETS)",
        "",
        WATCH + "test_what_others_take_away_is_noticed_and_comes_back",
    ),
    _mutation(
        "no route is an egress",
        "watch",
        "if is_of_egress else",
        "if False else",
        WATCH + "test_what_others_take_away_is_noticed_and_comes_back",
    ),
    _mutation(
        "a script of ours covers what others did before it",
        "watch",
        "            self._heard |= self._filter_changes(\n",
        "            self._filter_changes(\n",
        WATCH + "test_what_others_do_beside_a_script_of_ours_is_noticed",
    ),
    _mutation(
        "who could not be entered is taken for entered",
        "linux",
        "._replace(found=present.objects())",
        "",
        WATCH + "test_who_could_not_be_entered_in_a_repair_is_entered_when_it_is_asked_for_again",
    ),
    _mutation(
        "a refusal takes out what stays in force",
        "linux",
        "steps.enter - kept)",
        "steps.enter)",
        WATCH + "test_whom_a_repair_is_refused_keeps_the_elements_of_what_he_still_has",
    ),
    _mutation(
        "who lacks elements is in after netlink failed",
        "filter",
        "                lacking.append(owner)\n",
        "                pass\n",
        WATCH + "test_who_could_not_be_entered_is_not_in_after_netlink_failed_either",
    ),
    _mutation(
        "elements that are not read belong to whom they belonged",
        "linux",
        "            self._check.disown()\n",
        "            pass\n",
        WATCH + "test_elements_that_nobody_has_leave_without_being_read",
    ),
    _mutation(
        "a long script is an overrun",
        "watch",
        "_SCRIPT_OCTETS = 2 << 20",
        "_SCRIPT_OCTETS = 1 << 16",
        WATCH + "test_a_script_for_many_lengths_of_prefixes_is_no_overrun",
    ),
    _mutation(
        "each script from another port is somebody else's",
        "watch",
        "        if port in {one.port for one in heard}:\n",
        "        if True:\n",
        WATCH + "test_a_program_that_has_another_port_is_taken_for_our_own",
    ),
)
