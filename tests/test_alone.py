import threading

from audiovq.alone import alone, if_alone, in_turn


def test_each_waits_for_its_turn(tmp_path):
    """Several opened files of one process keep each other out as several processes do."""
    inside, most = [], []

    def work():
        with in_turn(tmp_path):
            inside.append(1)
            most.append(len(inside))
            done.wait(0.01)
            inside.pop()

    done = threading.Event()
    threads = [threading.Thread(target=work) for _ in range(8)]
    with alone(tmp_path, "testing in"):
        for thread in threads:
            thread.start()
        done.wait(0.05)
        assert not most
    for thread in threads:
        thread.join()
    assert most == [1] * 8
    with if_alone(tmp_path) as nobody_else:
        assert nobody_else
