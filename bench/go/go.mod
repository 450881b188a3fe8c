module loopline-bench

go 1.19
