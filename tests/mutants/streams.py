"""The mutations of what a site takes from others: streams and their pace, bounds of frames, texts of any depth. Data.

And of rules of the replication that lie beside them: whom to ask for what, what to pass on, and whose word is enough.
"""

# ruff: noqa: E501  (what is replaced must stand as it stands)

from tests.mutants.mutation import Mutation

LINK = ("tests/ha/test_peerlink.py",)
STREAM = ("tests/ha/test_stream.py",)
FRAMES = ("tests/ha/test_frames.py",)
REPLICATION = ("tests/ha/test_replication.py",)
STAR = ("tests/ha/test_star.py",)
FILES = ("tests/ha/test_files.py",)
FELLOWS = ("tests/bgp/test_fellows.py",)
LEASE = ("tests/bgp/test_lease.py",)
CONTROL = ("tests/runtime/test_control.py",)
CLIENT = ("tests/bgp/test_client.py",)

_SKIPPED = '                    case Unknown():\n                        self._counters.add("frames_skipped", site)\n'

MUTATIONS = (
    Mutation("a frame of a later kind ends a stream that we dialed", "ha/peerlink.py", f"{_SKIPPED}                    case _:\n", "                    case _:\n", LINK),
    Mutation("a frame of a later kind ends a stream that we accepted", "ha/peerlink.py", f"{_SKIPPED}                    case frame:\n", "                    case frame:\n", LINK),
    Mutation("frames of a later kind are not counted", "ha/peerlink.py", f"{_SKIPPED}                    case frame:\n", "                    case Unknown():\n                        pass\n                    case frame:\n", LINK),
    Mutation("a new stream has a new pace", "ha/peerlink.py", "stream.pace = self._paces[site, identify.carries]", "stream.pace = Pace(RATES[identify.carries])", LINK),
    Mutation("to ask for everything costs nothing", "ha/stream.py", "\nREQUEST_UNITS = 15_000", "\nREQUEST_UNITS = 1", STREAM),
    Mutation("a question for everything is a frame like others", "ha/stream.py", "            return REQUEST_UNITS\n", "            return 1\n", STREAM),
    Mutation("with local, others are waited for", "ha/awaiting.py", 'if answer is not None and (self._acknowledge == "local" or not missing):', "if answer is not None and not missing:", REPLICATION),
    Mutation("who started anew is asked for what he had numbered before", "ha/replication.py", "            peer = replace(peer, incarnation=incarnation, merged=0)\n        undo.put(self.peers, site, replace(peer, asked=True))\n", "            peer = replace(peer, incarnation=incarnation)\n        undo.put(self.peers, site, replace(peer, asked=True))\n", REPLICATION),
    Mutation("what nobody vouches for waits for the digests", "ha/exchange.py", "pass_on(news, site, index, now", "pass_on(news, site, index if whole else 0, now", STAR),
    Mutation("a reflector vouches for a deletion", "ha/exchange.py", "serves=forwarded and state.serving.reconciled", "serves=forwarded", STAR),
    Mutation("records of a frame are made before they are counted", "ha/frames.py", "    records: Annotated[tuple[WireRecord, ...], Meta(max_length=RECORDS_MAX)]\n", "    records: tuple[WireRecord, ...]\n", FRAMES),
    Mutation("a flood of records in a frame is let in", "ha/frames.py", "    records: Annotated[tuple[WireRecord, ...], Meta(max_length=RECORDS_MAX)]\n", "    records: tuple[WireRecord, ...]\n", STREAM),
    Mutation("any number is shown of a bucket", "ha/frames.py", "Annotated[dict[Octets16, int], Meta(max_length=SHOWN_MAX)]", "dict[Octets16, int]", FRAMES),
    Mutation("anything is shown as a home address", "ha/frames.py", "Annotated[dict[Octets16, int], Meta(max_length=SHOWN_MAX)]", "Annotated[dict[bytes, int], Meta(max_length=SHOWN_MAX)]", FRAMES),
    Mutation("a table whose first line nests ends the site", "ha/customer_table.py", "        value = json.loads(line)\n    except (ValueError, RecursionError) as error:\n", "        value = json.loads(line)\n    except ValueError as error:\n", FILES),
    Mutation("a first line that can just be read ends the site", "ha/customer_table.py", "except (InvalidSignature, binascii.Error, ValueError, RecursionError) as error:", "except (InvalidSignature, binascii.Error, ValueError) as error:", FILES),
    Mutation("a customer whose line nests ends the site", "ha/customer_table.py", "except (ValueError, RecursionError) as error:  # msgspec's are", "except ValueError as error:", FILES),
    Mutation("a snapshot that nests keeps a site from starting", "ha/snapshot.py", "except (msgspec.MsgspecError, RecursionError) as error:", "except msgspec.MsgspecError as error:", FILES),
    Mutation("a fellow's endless number is an error of ours", "bgp/fellows.py", "except (ValueError, TypeError, KeyError, OverflowError):", "except (ValueError, TypeError, KeyError):", FELLOWS),
    Mutation("the bridge's endless number is an error of ours", "bgp/lease.py", "except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:", "except (ValueError, TypeError, KeyError, RecursionError) as error:", LEASE),
    Mutation("the bridge's answer that nests is an error of ours", "bgp/lease.py", "except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:", "except (ValueError, TypeError, KeyError, OverflowError) as error:", LEASE),
    Mutation("a bridge whose answer nests ends who asked", "bgp/client.py", "except (OSError, ValueError, RecursionError) as error:", "except (OSError, ValueError) as error:", CLIENT),
    Mutation("a command that nests is not answered", "runtime/control.py", "except (ValueError, KeyError, TypeError, RecursionError):", "except (ValueError, KeyError, TypeError):", CONTROL),
)  # fmt: skip
