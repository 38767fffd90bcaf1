package host

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"unsafe"
)

// job is a job object that holds the plugin's process. The system kills what is in it
// when its last handle is closed, and so when this host ends, in whatever way: a plugin
// does not outlive its host. With Config.ProcessGroup, what the plugin starts is in it
// as well; without, it is not, as on other systems.
//
// https://learn.microsoft.com/windows/win32/procthread/job-objects
type job struct {
	*jobObject // nil for a plugin that is to outlive its host
	suspended  bool
}

type jobObject struct {
	mu     sync.Mutex
	handle syscall.Handle // guarded by mu; 0 once it is closed
}

// From the Windows SDK, winnt.h.
const (
	jobObjectExtendedLimitInformation = 9
	jobObjectLimitKillOnJobClose      = 0x2000
	jobObjectLimitSilentBreakawayOK   = 0x1000
	createSuspended                   = 0x4
)

// extendedLimits is JOBOBJECT_EXTENDED_LIMIT_INFORMATION.
type extendedLimits struct {
	perProcessUserTime, perJobUserTime   int64
	flags                                uint32
	minimumWorkingSet, maximumWorkingSet uintptr
	activeProcesses                      uint32
	affinity                             uintptr
	priority, scheduling                 uint32
	ioCounters                           [6]uint64
	processMemory, jobMemory             uintptr
	peakProcessMemory, peakJobMemory     uintptr
}

var (
	kernel32                 = syscall.NewLazyDLL("kernel32.dll")
	createJobObject          = kernel32.NewProc("CreateJobObjectW")
	setInformationJobObject  = kernel32.NewProc("SetInformationJobObject")
	assignProcessToJobObject = kernel32.NewProc("AssignProcessToJobObject")
	terminateJobObject       = kernel32.NewProc("TerminateJobObject")
	generateConsoleCtrlEvent = kernel32.NewProc("GenerateConsoleCtrlEvent")
	ntResumeProcess          = syscall.NewLazyDLL("ntdll.dll").NewProc("NtResumeProcess")
)

// newJob makes the job for a command, and makes the command's process start suspended:
// a process that runs before it is in the job could be left behind by a host that ends
// just then. If the application starts the command itself, it is not suspended.
func newJob(s *settings, cmd *exec.Cmd) (job, error) {
	attr := new(syscall.SysProcAttr)
	if cmd.SysProcAttr != nil {
		*attr = *cmd.SysProcAttr
	}
	// What terminate sends goes to a group. The plugin then does not get the terminal's
	// CTRL_C, which is for its host.
	attr.CreationFlags |= syscall.CREATE_NEW_PROCESS_GROUP
	cmd.SysProcAttr = attr
	if s.target.detach && !s.target.processGroup {
		return job{}, nil
	}
	h, _, err := createJobObject.Call(0, 0)
	if h == 0 {
		return job{}, os.NewSyscallError("CreateJobObject", err)
	}
	j := job{jobObject: &jobObject{handle: syscall.Handle(h)}}
	var limits extendedLimits
	if !s.target.detach {
		limits.flags |= jobObjectLimitKillOnJobClose
	}
	if !s.target.processGroup {
		limits.flags |= jobObjectLimitSilentBreakawayOK
	}
	if ok, _, err := setInformationJobObject.Call(h, jobObjectExtendedLimitInformation, uintptr(unsafe.Pointer(&limits)), unsafe.Sizeof(limits)); ok == 0 {
		j.close()
		return job{}, os.NewSyscallError("SetInformationJobObject", err)
	}
	if s.target.startCmd == nil && attr.CreationFlags&createSuspended == 0 {
		j.suspended = true
		attr.CreationFlags |= createSuspended
	}
	return j, nil
}

// adopt puts the command's process into the job and lets it run. If it cannot, it ends
// the process.
func (j job) adopt(cmd *exec.Cmd) error {
	if j.jobObject == nil {
		return nil
	}
	var failed error
	err := cmd.Process.WithHandle(func(process uintptr) {
		j.mu.Lock()
		ok, _, err := assignProcessToJobObject.Call(uintptr(j.handle), process)
		j.mu.Unlock()
		if ok == 0 {
			failed = os.NewSyscallError("AssignProcessToJobObject", err)
			return
		}
		if !j.suspended {
			return
		}
		// The process has one thread, suspended, whose handle os/exec has closed.
		if status, _, _ := ntResumeProcess.Call(process); int32(status) < 0 {
			failed = fmt.Errorf("NtResumeProcess: status %#x", uint32(status))
		}
	})
	if err == nil {
		err = failed
	}
	if err != nil && !j.suspended && !running(cmd.Process) {
		return nil // it was not suspended, and has already ended
	}
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return fmt.Errorf("making the plugin end with its host: %w", err)
	}
	return nil
}

// terminate ends everything in the job.
func (j job) terminate() {
	if j.jobObject == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handle != 0 {
		terminateJobObject.Call(uintptr(j.handle), 1) // the status of Process.Kill
	}
}

func (j job) close() {
	if j.jobObject == nil {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.handle != 0 {
		syscall.CloseHandle(j.handle)
		j.handle = 0
	}
}
